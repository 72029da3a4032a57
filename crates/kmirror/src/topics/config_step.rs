//! One change of a topic's configuration.

use std::fmt;

use kmirror_client::ConfigChange;

/// One change of a target topic's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigStep {
    /// The configuration.
    pub key: String,
    /// What is set on the target topic now; `None` where the target's default applies.
    pub from: Option<String>,
    /// What is to be set; `None` lets the target's default apply.
    pub to: Option<String>,
}

impl fmt::Display for ConfigStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "the default".to_owned());
        write!(formatter, "{} from {} to {}", self.key, shown(&self.from), shown(&self.to))
    }
}

impl ConfigStep {
    pub(crate) fn for_client(&self) -> ConfigChange {
        ConfigChange { name: self.key.clone(), value: self.to.clone() }
    }
}
