//! Java's `.properties` files, as `java.util.Properties.load` reads them.

use std::collections::BTreeMap;

/// A file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    /// The last value of each key.
    pub(crate) values: BTreeMap<String, String>,
    /// Keys in whose values Java drops a backslash: `\d` is read as `d`, which is seldom what was meant.
    pub(crate) dropped_backslashes: Vec<String>,
    /// The line in which each key stands, from one on.
    pub(crate) lines: BTreeMap<String, usize>,
}

/// Something that Java refuses as well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: malformed \\uxxxx encoding")]
pub(crate) struct PropertiesError {
    pub(crate) line: usize,
}

impl Properties {
    /// Reads a file in ISO-8859-1, Java's encoding of these files.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Properties, PropertiesError> {
        let text = text_of(bytes);
        let mut properties = Properties::default();
        for (line, logical) in logical_lines(&text) {
            let (key, value) = split(&logical);
            let (key, _) = unescaped(key).ok_or(PropertiesError { line })?;
            let (value, has_dropped) = unescaped(value).ok_or(PropertiesError { line })?;
            if has_dropped {
                properties.dropped_backslashes.push(key.clone());
            }
            properties.lines.insert(key.clone(), line);
            properties.values.insert(key, value);
        }
        Ok(properties)
    }
}

/// The text of a file, in ISO-8859-1.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Lines with their continuations, without comments: the number of the first, and the text.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut logical = Vec::new();
    let text = text.replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']).enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        // A line that ends in an odd number of backslashes goes on in the next one.
        while whole.chars().rev().take_while(|character| *character == '\\').count() % 2 == 1 {
            whole.pop();
            let Some((_, next)) = lines.next() else { break };
            whole.push_str(next.trim_start_matches(BLANKS));
        }
        logical.push((number + 1, whole));
    }
    logical
}

/// Key and value: the key ends at the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    for (at, character) in line.char_indices() {
        let ends = matches!(character, '=' | ':') || BLANKS.contains(&character);
        if ends && !is_escaped {
            let (key, rest) = line.split_at(at);
            let rest = rest.trim_start_matches(BLANKS);
            let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (key, rest.trim_start_matches(BLANKS));
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    (line, "")
}

/// The text without escapes, and whether a backslash was dropped that stood for nothing.
fn unescaped(text: &str) -> Option<(String, bool)> {
    let (mut plain, mut has_dropped) = (String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = (digits.len() == 4).then(|| u32::from_str_radix(&digits, 16).ok()).flatten()?;
                plain.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => {
                has_dropped |= !matches!(other, '\\' | '=' | ':' | '#' | '!' | ' ');
                plain.push(other);
            }
            None => {}
        }
    }
    Some((plain, has_dropped))
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_java_reads_them() {
        let file = b"# comment\n  ! another\n\na=1\nb : 2\nc 3\nd\n  spaced =  x y  \na=4\r\nlist = one,\\\n    two\\\\\nkey\\ with\\:signs=v\nu=\\u0041\\t!\npattern=a\\\\.b\nlatin=\xe9";
        let read = Properties::parse(file).expect("well formed");
        let shown: Vec<_> = read.values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("a", "4"),
                ("b", "2"),
                ("c", "3"),
                ("d", ""),
                ("key with:signs", "v"),
                ("latin", "\u{e9}"),
                ("list", "one,two\\"),
                ("pattern", "a\\.b"),
                ("spaced", "x y  "),
                ("u", "A\t!"),
            ]
        );
        assert!(read.dropped_backslashes.is_empty());
        assert_eq!((read.lines["a"], read.lines["key with:signs"]), (9, 12));
    }

    #[test]
    fn lines_of_windows_continue_too() {
        let read = Properties::parse(b"a = one,\\\r\n  two\r\nb = 2\r\n").expect("well formed");
        assert_eq!((read.values["a"].as_str(), read.lines["b"]), ("one,two", 3));
    }

    #[test]
    fn a_backslash_that_java_drops_is_told() {
        let read = Properties::parse(b"topics = \\d+\\.x, a\\\\.b").expect("well formed");
        assert_eq!(read.values["topics"], "d+.x, a\\.b");
        assert_eq!(read.dropped_backslashes, ["topics"]);
        assert_eq!(Properties::parse(b"a=1\nb=\\u00g1"), Err(PropertiesError { line: 2 }));
    }
}
