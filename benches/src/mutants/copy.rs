//! A copy of the tree, in which one file at a time is mutated. Only what differs is written, so that little is built again. What becomes
//! of the tree meanwhile is of no concern: trying all mutants takes an hour.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::list::Mutant;

pub(super) struct Copy {
    folder: PathBuf,
    /// The file that is mutated, and its text without that.
    mutated: Option<(PathBuf, String)>,
}

impl Copy {
    /// Brings the copy in `folder` up to what lies in `root`: everything that git does not ignore.
    pub(super) fn of(root: &Path, folder: &Path) -> Result<Copy, Box<dyn Error>> {
        let copy = Copy { folder: folder.join("tree"), mutated: None };
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let output = git.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let listed = String::from_utf8(output.stdout)?;
        let names: BTreeSet<PathBuf> = listed.split_terminator('\0').map(PathBuf::from).collect();
        for name in &names {
            // A file that was deleted is listed until that is committed.
            if let Ok(bytes) = fs::read(root.join(name)) {
                copy.write(name, &bytes)?;
            }
        }
        copy.remove_others(&copy.folder, &|name| root.join(name).exists() && names.contains(name))?;
        Ok(copy)
    }

    /// Where the copy is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Applies a mutant in place of the one before.
    pub(super) fn mutate(&mut self, mutant: &Mutant) -> Result<(), Box<dyn Error>> {
        let name = PathBuf::from(&mutant.file);
        if self.mutated.as_ref().is_none_or(|(mutated, _)| *mutated != name) {
            self.restore()?;
        }
        let text = match self.mutated.take() {
            Some((_, text)) => text,
            None => fs::read_to_string(self.folder.join(&name))?,
        };
        let applied = mutant.applied(&text);
        self.mutated = Some((name.clone(), text));
        self.write(&name, applied?.as_bytes())
    }

    /// Nothing is mutated.
    pub(super) fn restore(&mut self) -> Result<(), Box<dyn Error>> {
        match self.mutated.take() {
            Some((name, text)) => self.write(&name, text.as_bytes()),
            None => Ok(()),
        }
    }

    fn write(&self, name: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let path = self.folder.join(name);
        if fs::read(&path).is_ok_and(|before| before == bytes) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(fs::write(&path, bytes)?)
    }

    fn remove_others(&self, folder: &Path, belongs: &dyn Fn(&Path) -> bool) -> Result<(), Box<dyn Error>> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.remove_others(&path, belongs)?;
            } else if !belongs(path.strip_prefix(&self.folder)?) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_mutated_and_comes_back() {
        let folder = std::env::temp_dir().join(format!("kmirror-mutants-{}", std::process::id()));
        let root = folder.join("root");
        fs::create_dir_all(root.join("src")).unwrap();
        let there = |name: &str| fs::read_to_string(folder.join("tree").join(name)).ok();
        fs::write(root.join("src/a"), "one two").unwrap();
        fs::write(root.join("b"), "b").unwrap();
        Command::new("git").arg("init").arg("-q").arg(&root).status().unwrap();
        let mut copy = Copy::of(&root, &folder).unwrap();
        assert_eq!((there("src/a"), there("b")), (Some("one two".to_owned()), Some("b".to_owned())));
        let mutant = |from: &str| Mutant {
            name: "less".to_owned(),
            rule: String::new(),
            file: "src/a".to_owned(),
            from: from.to_owned(),
            to: "three".to_owned(),
            suites: Vec::new(),
            survives: None,
        };
        copy.mutate(&mutant("two")).unwrap();
        assert_eq!(there("src/a").as_deref(), Some("one three"));
        copy.mutate(&mutant("one")).unwrap();
        assert_eq!(there("src/a").as_deref(), Some("three two"), "one at a time");
        let other = Mutant { file: "b".to_owned(), ..mutant("b") };
        copy.mutate(&other).unwrap();
        assert_eq!((there("src/a"), there("b")), (Some("one two".to_owned()), Some("three".to_owned())));
        // Somebody works on.
        fs::write(root.join("b"), "c").unwrap();
        copy.restore().unwrap();
        assert_eq!(there("b").as_deref(), Some("b"));
        assert!(copy.mutate(&mutant("four")).is_err() && copy.mutate(&mutant("o")).is_err(), "not once");
        // What a killed run has left, and what is gone.
        copy.mutate(&mutant("two")).unwrap();
        fs::remove_file(root.join("b")).unwrap();
        Copy::of(&root, &folder).unwrap();
        assert_eq!((there("src/a").as_deref(), there("b")), (Some("one two"), None));
        fs::remove_dir_all(folder).unwrap();
    }
}
