//! What nobody may read in a log: passwords, keys, tokens.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret text. `Debug` hides it, there is no `Display`, and its memory is overwritten at the end.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text itself. Keep it out of messages.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Where a key, a certificate or a password comes from.
///
/// A file is read again for every new connection, so whoever replaces it restarts nothing. Two of them are equal if they name the same
/// file, whatever it holds by now.
#[derive(Clone, PartialEq, Eq)]
pub enum Material {
    /// The text itself.
    Text(Secret),
    /// A file that holds it.
    File(PathBuf),
}

impl Material {
    /// The text itself.
    pub fn text(text: impl Into<String>) -> Material {
        Material::Text(Secret::new(text))
    }

    /// A file that holds it.
    pub fn file(path: impl Into<PathBuf>) -> Material {
        Material::File(path.into())
    }

    /// What it holds now. It blocks on a disk.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        match self {
            Material::Text(text) => Ok(text.clone()),
            Material::File(path) => std::fs::read_to_string(path)
                .map(Secret::new)
                .map_err(|error| format!("cannot read {}: {error}", path.display())),
        }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Material::Text(text) => text.fmt(formatter),
            Material::File(path) => path.fmt(formatter),
        }
    }
}

impl fmt::Display for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Material::Text(_) => formatter.write_str("the given text"),
            Material::File(path) => path.display().fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!(
            "{:?} {:?} {}",
            Secret::new("hunter2"),
            Material::text("hunter2"),
            Material::text("hunter2")
        );
        assert_eq!(shown, "*** *** the given text");
        assert_eq!(Secret::new("hunter2").reveal(), "hunter2");
    }
}
