//! The sources of a crate, without what is only for its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The path of a module, without `crate`.
pub(crate) type ModulePath = Vec<String>;

/// A module of a crate.
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    /// Without comments, whose lines are empty.
    pub(crate) code: String,
}

/// All modules below a folder that are not of tests.
pub(crate) fn modules(src: &Path) -> BTreeMap<ModulePath, Module> {
    let mut modules = BTreeMap::new();
    read(src, &[], &mut modules);
    modules
}

fn read(folder: &Path, path: &[String], modules: &mut BTreeMap<ModulePath, Module>) {
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut module = path.to_vec();
        if !["mod", "lib", "main"].contains(&&*name) {
            module.push(name);
        }
        if file.is_dir() {
            read(&file, &module, modules);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let code = product(&fs::read_to_string(&file).unwrap());
            modules.insert(module, Module { file, code });
        }
    }
    // Modules of tests are declared as such by the one above.
    let declared = Regex::new(r"#\[cfg\(test\)\]\s*(?:pub\(crate\) )?mod (\w+);").unwrap();
    let of_tests: BTreeSet<ModulePath> = (modules.iter())
        .flat_map(|(path, module)| {
            let names = declared.captures_iter(&module.code).map(|found| found[1].to_owned());
            names.map(|name| [path.clone(), vec![name]].concat()).collect::<Vec<_>>()
        })
        .collect();
    modules.retain(|path, _| !(1..=path.len()).any(|length| of_tests.contains(&path[..length])));
}

/// Code without comments, and without a module of tests at its end.
fn product(text: &str) -> String {
    let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let tests = Regex::new(r"#\[cfg\(test\)\]\s*(#\[[^\]]*\]\s*)*mod tests \{").unwrap();
    tests.split(&code).next().unwrap_or_default().to_owned()
}
