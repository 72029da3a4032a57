//! What files of every kind have in common: places in them, placeholders, what is wrong, Java's properties, the keys of Kafka's clients.

pub(crate) mod client_keys;
pub(crate) mod place;
pub(crate) mod placeholder;
pub(crate) mod problem;
pub(crate) mod properties;
