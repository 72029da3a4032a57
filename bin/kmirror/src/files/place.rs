//! Where something stands in a YAML text, by its path: for messages about what the parser itself found right.

/// A step down a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// Into a mapping.
    Key(&'a str),
    /// Into a sequence.
    Item(usize),
}

/// The offset of the last key of a path, in the document that begins at an offset. `None`: it is written in a way that is not looked
/// for (items in brackets).
pub(crate) fn find(text: &str, from: usize, path: &[Step<'_>]) -> Option<usize> {
    let mut at = from;
    for step in path {
        at = match step {
            Step::Key(key) => key_at(text, at, key)?,
            Step::Item(number) => item_at(text, at, *number)?,
        };
    }
    Some(at)
}

/// The same of a path as it is shown: `spec.mirrors[0].sourceConnector.config.replication.factor`. Below `config` and `properties`
/// keys have dots.
pub(crate) fn find_shown(text: &str, from: usize, shown: &str) -> Option<usize> {
    let free = ["config", "properties"].into_iter().find_map(|name| {
        let (path, key) = shown.split_once(&format!(".{name}."))?;
        Some((path, vec![Step::Key(name), Step::Key(key)]))
    });
    let (path, last) = free.unwrap_or((shown, Vec::new()));
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, item) = part.split_once('[').unwrap_or((part, ""));
        steps.push(Step::Key(key));
        steps.extend(item.trim_end_matches(']').parse().ok().map(Step::Item));
    }
    steps.extend(last);
    find(text, from, &steps)
}

/// Where a document of several begins.
pub(crate) fn document(text: &str, index: usize) -> usize {
    let mut at = 0;
    let mut separators = Vec::new();
    let mut has_content = false;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.trim_end() == "---" && has_content {
            separators.push(at);
        }
        has_content |= !line.trim().is_empty() && !line.starts_with('#') && line.trim_end() != "---";
    }
    index.checked_sub(1).and_then(|index| separators.get(index).copied()).unwrap_or(0)
}

/// The first `key:` from an offset on, quoted or not.
pub(crate) fn key_at(text: &str, from: usize, key: &str) -> Option<usize> {
    occurrences(text, from, key).find(|found| {
        let before = text.get(..*found).and_then(|before| before.chars().next_back());
        let after = text.get(found + key.len()..).unwrap_or_default();
        before.is_none_or(|sign| sign.is_whitespace() || "{,\"'-".contains(sign))
            && after.trim_start_matches(['"', '\'']).trim_start_matches(' ').starts_with(':')
    })
}

/// Where something is written, but for comments on lines of their own.
pub(crate) fn occurrences<'a>(text: &'a str, from: usize, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    let found = text.get(from..).unwrap_or_default().match_indices(what).map(move |(at, _)| from + at);
    found.filter(|at| {
        let line = text.get(..*at).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
        !line.trim_start().starts_with('#')
    })
}

/// The nth `- ` below a key: items are those that stand as far to the right as the first one.
fn item_at(text: &str, from: usize, number: usize) -> Option<usize> {
    let mut end = from;
    let lines = text.get(from..)?.split_inclusive('\n').map(|line| {
        end += line.len();
        let content = line.trim_start();
        (end - content.len(), line.len() - content.len(), content)
    });
    let mut items = lines.filter(|(_, _, content)| content.starts_with("- ")).peekable();
    let (_, first_indent, _) = *items.peek()?;
    items.filter(|(_, indent, _)| *indent == first_indent).nth(number).map(|(offset, ..)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_items_are_found() {
        let text = "clusters: { east: { x: 1 } }\nflows:\n  - source: east\n    topics:\n      - a\n  - target: w\n    \"source\": north\n";
        let at = |path: &[Step<'_>]| {
            find(text, 0, path).and_then(|at| text.get(at..)).and_then(|rest| rest.lines().next())
        };
        use Step::{Item, Key};
        assert_eq!(at(&[Key("flows"), Item(0), Key("source")]), Some("source: east"));
        assert_eq!(at(&[Key("flows"), Item(1), Key("source")]), Some("source\": north"));
        assert_eq!(at(&[Key("clusters"), Key("east"), Key("x")]), Some("x: 1 } }"));
        assert_eq!(at(&[Key("flows"), Item(2)]), None);
        assert_eq!(at(&[Key("flow")]), None);
        let shown = |text: &str, path| {
            find_shown(text, document(text, 1), path).map(|at| text[..at].matches('\n').count())
        };
        let documents = "---\nspec: {}\n---\nspec:\n  mirrors:\n    - x: 1\n    - config:\n        a.b: 1\n";
        assert_eq!(shown(documents, "spec.mirrors[1].config.a.b"), Some(7));
        assert_eq!(shown(documents, "spec.mirrors[0].x"), Some(5));
    }
}
