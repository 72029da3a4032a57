//! What must not be shown of a file: one list of names for everything that prints.

/// Whether a key's value is a secret, by the key's name. A file that holds one is none itself.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    !NO_SECRETS.iter().any(|end| key.ends_with(end)) && SECRETS.iter().any(|word| key.contains(word))
}

const NO_SECRETS: [&str; 4] = ["_file", ".location", ".url", ".type"];
const SECRETS: [&str; 11] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "jaas",
    "credential",
    "private",
    "keystore.key",
    "key_pem",
    "jwt",
    "assertion",
];

/// A text as it may be printed beside an error: the values of secret keys are stars, as many as they had bytes, so that places stay places.
/// It reads YAML and Java's properties alike, and rather hides too much. Placeholders stay.
pub(crate) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // The indent of the secret key whose value may go on in further lines.
    let mut hidden_below: Option<usize> = None;
    let mut is_continued = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let indent = content.len() - content.trim_start().len();
        let is_blank = content.trim().is_empty();
        if is_continued || hidden_below.is_some_and(|key| is_blank || indent > key) {
            is_continued = is_continued && content.ends_with('\\');
            shown.push_str(&stars(content));
        } else {
            let (masked, key) = masked_line(content);
            hidden_below = key;
            is_continued = key.is_some() && content.ends_with('\\');
            shown.push_str(&masked);
        }
        shown.push_str(&line[content.len()..]);
    }
    shown
}

/// A line without the values of secret keys; where one may go on in the next line, the indent of its key.
fn masked_line(line: &str) -> (String, Option<usize>) {
    let mut shown = String::new();
    let mut rest = line;
    let mut is_in_braces = false;
    while let Some((key, at)) = next_key(rest) {
        let (before, value) = rest.split_at(at);
        is_in_braces |= before.contains('{');
        shown.push_str(before);
        rest = value;
        if !is_secret(key) {
            continue;
        }
        let end = end_of_value(value, is_in_braces);
        let (secret, after) = value.split_at(end);
        let is_placeholder = secret.trim().trim_matches(['"', '\'']).starts_with("${");
        shown.push_str(&if is_placeholder { secret.to_owned() } else { stars(secret) });
        rest = after;
        if rest.is_empty() && !is_placeholder {
            let item = if line.trim_start().starts_with("- ") { 2 } else { 0 };
            let indent = line.len() - line.trim_start().len() + item;
            return (shown, Some(indent).filter(|_| !is_in_braces));
        }
    }
    shown.push_str(rest);
    (shown, None)
}

/// The next key of a line, and where its value begins.
fn next_key(text: &str) -> Option<(&str, usize)> {
    let is_of_key = |sign: char| sign.is_ascii_alphanumeric() || "_.->".contains(sign);
    for (at, sign) in text.char_indices().filter(|(_, sign)| matches!(sign, ':' | '=')) {
        let before = text.get(..at)?.trim_end().trim_end_matches(['"', '\'']);
        let start = before.rfind(|sign| !is_of_key(sign)).map_or(0, |start| {
            start + before.get(start..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
        });
        let key = before.get(start..).unwrap_or_default();
        let after = text.get(at + sign.len_utf8()..).unwrap_or_default();
        let blanks = after.len() - after.trim_start().len();
        // A colon within a value (`host:9092`) has no blank behind it.
        if !key.is_empty() && (sign == '=' || blanks > 0 || after.is_empty() || before.len() < at) {
            return Some((key, at + sign.len_utf8() + blanks));
        }
    }
    None
}

fn end_of_value(value: &str, is_in_braces: bool) -> usize {
    let quote = value.chars().next().filter(|sign| matches!(sign, '"' | '\''));
    if let Some(quote) = quote {
        let mut is_escaped = false;
        let close = value.char_indices().skip(1).find(|(_, sign)| {
            let closes = *sign == quote && !is_escaped;
            is_escaped = *sign == '\\' && quote == '"' && !is_escaped;
            closes
        });
        return close.map_or(value.len(), |(at, _)| at + 1);
    }
    match is_in_braces {
        true if value.starts_with("${") => value.find('}').map_or(value.len(), |at| at + 1),
        true => value.find([',', '}']).unwrap_or(value.len()),
        false => value.len(),
    }
}

/// As many stars as a text has bytes, but for its blanks at the beginning.
fn stars(text: &str) -> String {
    let content = text.trim_start();
    format!("{}{}", &text[..text.len() - content.len()], "*".repeat(content.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stars_and_places_stay() {
        for (text, expected) in [
            ("a: { password: hunter2, user: me }\n", "a: { password: *******, user: me }\n"),
            ("  password: hunter2, x # y\nb: c\n", "  password: **************\nb: c\n"),
            ("  password: \"hun\\\"ter\" # why\n", "  password: ********** # why\n"),
            ("password: 'hunter2'\nuser: x", "password: *********\nuser: x"),
            ("password: ${env:PW}\nx: y", "password: ${env:PW}\nx: y"),
            ("{ password: ${file:/a}, token: abc }", "{ password: ${file:/a}, token: ****}"),
            ("password_file: /run/pw\ntoken_file: /t", "password_file: /run/pw\ntoken_file: /t"),
            ("key_pem: |\n  BEGIN\n\n  END\nnext: 1\n", "key_pem: *\n  *****\n\n  ***\nnext: 1\n"),
            ("- token: abc\n  user: b\n", "- token: ***\n  user: b\n"),
            ("password:\n  hunter2\nuser: x", "password:\n  *******\nuser: x"),
            ("ssl.key.password = hun\\\n  ter2\nacks = 1", "ssl.key.password = ****\n  ****\nacks = 1"),
            (
                "sasl.jaas.config=x required password=\"y\";\na=b",
                "sasl.jaas.config=************************\na=b",
            ),
            ("\"password\":\"hunter2\"}", "\"password\":*********}"),
            ("servers: [\"a:1\", b:2]\n", "servers: [\"a:1\", b:2]\n"),
            ("passwort: ü", "passwort: ü"),
            ("password: ü\n", "password: **\n"),
        ] {
            let shown = masked(text);
            assert_eq!(shown, expected);
            assert_eq!(shown.len(), text.len());
        }
    }

    #[test]
    fn keys_are_told_apart() {
        for key in [
            "password",
            "ssl.key.password",
            "sasl.jaas.config",
            "ssl.keystore.key",
            "client_secret",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "basic.auth.credentials",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in [
            "username",
            "password_file",
            "ssl.keystore.location",
            "sasl.oauthbearer.token.endpoint.url",
            "ssl.truststore.type",
            "mechanism",
        ] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
