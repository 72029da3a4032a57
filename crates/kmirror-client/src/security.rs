//! What a client needs to enter a secured network: one of each for all its connections.

use crate::config::ClientConfig;
use crate::tls::Tls;

pub(crate) struct Security {
    pub(crate) tls: Option<Tls>,
}

impl Security {
    pub(crate) fn new(config: &ClientConfig) -> Security {
        Security { tls: config.tls.as_ref().map(|tls| Tls::new(&config.alias, tls)) }
    }
}
