//! Lists of names and expressions as MirrorMaker 2 reads them (`MirrorUtils.compilePatternList`): cut at every comma, then joined to one
//! expression by `|`.

/// What a list means here, and what is to be said about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Patterns {
    pub(super) items: Vec<String>,
    pub(super) warnings: Vec<&'static str>,
}

/// Reads a list. A blank one matches nothing.
pub(super) fn read(text: &str) -> Patterns {
    let items = super::list(text);
    let mut warnings = Vec::new();
    let is_cut = items.iter().any(|item| !is_balanced(item));
    if is_cut {
        warnings.push(
            "Kafka cuts a list at every comma, in an expression as well: `a{1,3}` becomes `a{1` and `3}`",
        );
    }
    // Flags hold until the end of the expression, which is that of the list.
    let has_flags = items.iter().rev().skip(1).any(|item| has_inline_flags(item));
    if has_flags {
        warnings.push(
            "MirrorMaker 2 joins a list to one expression: `(?i)` and its like hold for what follows it too",
        );
    }
    let items = if is_cut || has_flags { vec![items.join("|")] } else { items };
    Patterns { items, warnings }
}

/// Whether every bracket that is opened is closed in the same item.
fn is_balanced(item: &str) -> bool {
    let (mut open, mut is_escaped) = (Vec::new(), false);
    for sign in item.chars() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        let in_class = open.last() == Some(&']');
        match sign {
            '\\' => is_escaped = true,
            '[' => open.push(']'),
            '(' if !in_class => open.push(')'),
            '{' if !in_class => open.push('}'),
            ')' | '}' if in_class => {}
            ')' | '}' | ']' if open.pop() != Some(sign) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

/// `(?i)`, but not `(?i:…)`, whose flags end with it.
fn has_inline_flags(item: &str) -> bool {
    item.match_indices("(?").any(|(at, _)| {
        let inside = item.get(at + 2..).and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside);
        inside.is_some_and(|flags| {
            !flags.is_empty() && flags.chars().all(|flag| flag.is_ascii_alphabetic() || flag == '-')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_joined_as_in_java() {
        let read = |text| {
            let patterns = read(text);
            (patterns.items, patterns.warnings.len())
        };
        let items = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        for (text, expected, warnings) in [
            ("orders, payments\\..*", items(&["orders", "payments\\..*"]), 0),
            ("  ", items(&[]), 0),
            ("a,,b,", items(&["a", "b"]), 0),
            ("a{1,3}", items(&["a{1|3}"]), 1),
            ("(a,b)", items(&["(a|b)"]), 1),
            ("[ab],\\(c", items(&["[ab]", "\\(c"]), 0),
            ("[(],x{2}", items(&["[(]", "x{2}"]), 0),
            ("(?i)a,b", items(&["(?i)a|b"]), 1),
            ("a,(?i)b", items(&["a", "(?i)b"]), 0),
            ("(?i:a),(?!b).*", items(&["(?i:a)", "(?!b).*"]), 0),
        ] {
            assert_eq!(read(text), (expected, warnings), "{text:?}");
        }
    }

    #[test]
    fn flags_hold_for_what_follows() {
        let list = |text: &str| kmirror::TopicSelection { include: read(text).items, exclude: Vec::new() };
        let matches = |text: &str, topic: &str| {
            let flow = kmirror::Flow::new("a", "b").topics(list(text).include);
            flow.topics.compile().expect("valid").matches(topic)
        };
        assert!(matches("(?i)a,b", "B") && matches("(?i)a,b", "A"));
        assert!(!matches("a,(?i)b", "A"));
    }
}
