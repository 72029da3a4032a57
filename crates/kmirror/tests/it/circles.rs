//! Modules do not know each other in circles (ARCHITECTURE.md): what lies side by side in a folder can be put in an order, and the
//! wings of the engine are in the order that is written here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::sources::{ModulePath, modules};

/// The wings of the engine, from the ground up: each knows only what stands before it.
const WINGS: [&str; 9] =
    ["ground", "logs", "topics", "state_topic", "data", "takeover", "follow", "flow", "report"];
/// Where folders are looked through.
const WITHOUT_CIRCLES: [&str; 2] = ["crates/kmirror", "bin/kmirror"];

#[test]
fn modules_side_by_side_know_each_other_in_one_direction() {
    for path in WITHOUT_CIRCLES {
        let modules = Modules::of(&root().join(path).join("src"));
        assert!(modules.names.len() > 10, "{path}: its modules were not found");
        for folder in modules.folders() {
            let arrows = modules.arrows_within(&folder);
            if let Some(circle) = circle(&arrows) {
                let steps = circle.iter().zip(circle.iter().cycle().skip(1));
                let steps: Vec<_> = steps.map(|(from, to)| arrows[from][to].clone()).collect();
                panic!("{path}: a circle in {:?}: {}", folder.join("::"), steps.join(", "));
            }
        }
    }
}

#[test]
fn wings_know_what_stands_below_them() {
    let modules = Modules::of(&root().join("crates/kmirror/src"));
    let height = |wing: &str| WINGS.iter().position(|other| *other == wing);
    let arrows = modules.arrows_within(&[]);
    for (from, to) in arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        let (Some(above), Some(below)) = (height(from), height(to.0)) else { continue };
        assert!(above > below, "{} stands below {}: {}", from, to.0, to.1);
    }
    for wing in WINGS {
        assert!(modules.names.contains_key(&vec![wing.to_owned()]), "{wing} is there no more");
    }
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let modules = Modules::from(
        [
            ("a", "use crate::{b::X, c};"),
            ("b", "fn f() { super::c::g() }"),
            ("c", "mod inner; use self::inner::Y;"),
            ("c::inner", "use super::super::a::{self, Z};"),
        ]
        .map(|(path, code)| (path.split("::").map(str::to_owned).collect(), code.to_owned()))
        .into(),
    );
    let arrows = modules.arrows_within(&[]);
    let to = |from: &str| arrows[from].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((to("a"), to("b"), to("c")), (vec!["b", "c"], vec!["c"], vec!["a"]));
    assert_eq!(circle(&arrows).expect("a circle").len(), 3);
    let mut straight = arrows;
    straight.remove("c");
    assert_eq!(circle(&straight), None);
}

/// The modules of a crate, and which paths within it each names outside of comments and tests.
struct Modules {
    names: BTreeMap<ModulePath, Vec<ModulePath>>,
}

/// Who knows whom, with a place where it is written.
type Arrows = BTreeMap<String, BTreeMap<String, String>>;

impl Modules {
    fn of(src: &Path) -> Modules {
        Modules::from(modules(src).into_iter().map(|(path, module)| (path, module.code)).collect())
    }

    fn from(code: BTreeMap<ModulePath, String>) -> Modules {
        let trees = Regex::new(r"\buse\s+((?:crate|super|self)::[^;]+);").unwrap();
        let paths = Regex::new(r"\b(?:crate|super)(?:::\w+)+").unwrap();
        let names = code.into_iter().map(|(module, code)| {
            let of_trees = trees.captures_iter(&code).flat_map(|tree| leaves(&tree[1]));
            let of_paths = paths.find_iter(&code).map(|path| path.as_str().to_owned());
            let names = of_trees.chain(of_paths).map(|path| resolved(&path, &module)).collect();
            (module, names)
        });
        Modules { names: names.collect() }
    }

    /// All folders, the root among them.
    fn folders(&self) -> BTreeSet<ModulePath> {
        self.names.keys().flat_map(|path| (0..path.len()).map(|length| path[..length].to_vec())).collect()
    }

    /// Which children of a folder know which others.
    fn arrows_within(&self, folder: &[String]) -> Arrows {
        let mut arrows = Arrows::new();
        let is_below = |path: &&ModulePath| path.len() > folder.len() && path.starts_with(folder);
        for path in self.names.keys().filter(is_below) {
            for known in self.names[path].iter().filter(is_below) {
                let (from, to) = (&path[folder.len()], &known[folder.len()]);
                let is_module = self.names.contains_key(&known[..=folder.len()]);
                if from != to && is_module {
                    let place = format!("{} → {}", path.join("::"), known.join("::"));
                    arrows.entry(from.clone()).or_default().insert(to.clone(), place);
                }
            }
        }
        arrows
    }
}

/// The paths of a tree of `use`.
fn leaves(tree: &str) -> Vec<String> {
    let Some((stem, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = rest.trim_end().strip_suffix('}').expect("a closed tree");
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(leaves).map(|leaf| format!("{}{leaf}", stem.trim())).collect()
}

/// A path from the root of the crate on.
fn resolved(path: &str, module: &[String]) -> ModulePath {
    let mut words = path.split("::").map(str::trim).peekable();
    let mut base = if words.peek() == Some(&"crate") { Vec::new() } else { module.to_vec() };
    let _ = words.next_if_eq(&"crate");
    while let Some(word) = words.next_if(|word| ["self", "super"].contains(word)) {
        if word == "super" {
            base.pop();
        }
    }
    base.extend(words.map(str::to_owned));
    base
}

/// A circle, if there is one: those on it, in order.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    fn walk(arrows: &Arrows, way: &mut Vec<String>, left: &mut BTreeSet<String>) -> Option<Vec<String>> {
        let last = way.last().expect("somewhere").clone();
        for next in arrows.get(&last).into_iter().flat_map(BTreeMap::keys) {
            if let Some(first) = way.iter().position(|passed| passed == next) {
                return Some(way[first..].to_vec());
            }
            if left.remove(next) {
                way.push(next.clone());
                if let Some(circle) = walk(arrows, way, left) {
                    return Some(circle);
                }
                way.pop();
            }
        }
        None
    }
    let mut left: BTreeSet<String> = arrows.keys().cloned().collect();
    while let Some(first) = left.pop_first() {
        if let Some(circle) = walk(arrows, &mut vec![first], &mut left) {
            return Some(circle);
        }
    }
    None
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
