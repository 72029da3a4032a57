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

    /// The same without the line break that editors leave at the end of a file.
    pub(crate) fn read_line(&self) -> Result<Secret, String> {
        let text = self.read()?;
        match self {
            Material::Text(_) => Ok(text),
            Material::File(_) => Ok(Secret::new(text.reveal().trim_end_matches(['\r', '\n']))),
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

    #[test]
    fn a_password_in_a_file_ends_before_the_line_break() {
        let path = std::env::temp_dir().join(format!("kmirror-secret-{}", std::process::id()));
        std::fs::write(&path, "hunter 2 \r\n").unwrap();
        let file = Material::file(&path);
        assert_eq!(file.read_line().unwrap().reveal(), "hunter 2 ");
        assert_eq!(Material::text("line\n").read_line().unwrap().reveal(), "line\n");
        std::fs::remove_file(&path).unwrap();
        assert!(file.read().unwrap_err().starts_with(&format!("cannot read {}: ", path.display())));
    }
}
