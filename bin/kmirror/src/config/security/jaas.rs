//! Java's login configurations: `MODULE required key="value" key="value";`. Nothing is loaded; the module tells what its options mean.

use std::collections::BTreeMap;

use crate::files::placeholder;

/// A module and its options. It has no `Debug`, for most are secrets.
pub(super) struct Jaas {
    pub(super) module: String,
    options: BTreeMap<String, String>,
}

impl Jaas {
    /// Reads one. `is_raw`: placeholders in its values are replaced when it is understood, so that a quote in a password adds no option.
    ///
    /// # Errors
    /// What is wrong, without any of its values.
    pub(super) fn parse(text: &str, is_raw: bool) -> Result<Jaas, String> {
        if is_raw && text.trim_start().starts_with("${") {
            // All of it stands behind one.
            let text = placeholder::resolve(text).map_err(|error| error.to_string())?;
            return Jaas::parse(&text, false);
        }
        let mut words = words(text)?.into_iter();
        let module = words.next().and_then(|(word, value)| value.is_none().then_some(word));
        let module = module.ok_or("it begins with no login module")?;
        let flag = words.next().map(|(word, _)| word.to_ascii_lowercase()).unwrap_or_default();
        if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
            return Err(format!("`required` is missing behind {module}"));
        }
        let mut options = BTreeMap::new();
        for (key, value) in words {
            let value = value.ok_or("an option has no value: write it as in key=\"value\"")?;
            let value =
                if is_raw { placeholder::resolve(&value).map_err(|error| error.to_string())? } else { value };
            options.insert(key, value);
        }
        Ok(Jaas { module, options })
    }

    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    /// The module's name without its package.
    pub(super) fn module_name(&self) -> &str {
        self.module.rsplit('.').next().unwrap_or(&self.module)
    }
}

/// Words, and what stands behind their `=`, up to the semicolon.
fn words(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut words = Vec::new();
    let mut signs = text.trim().chars().peekable();
    loop {
        while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
        match signs.peek() {
            None => return Err("the `;` at its end is missing".to_owned()),
            Some(';') => {
                signs.next();
                return match signs.any(|sign| !sign.is_whitespace()) {
                    true => Err("only one login module is understood".to_owned()),
                    false => Ok(words),
                };
            }
            Some(_) => {}
        }
        let word = token(&mut signs)?;
        while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
        let value = match signs.next_if_eq(&'=') {
            Some(_) => {
                while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
                Some(token(&mut signs)?)
            }
            None => None,
        };
        words.push((word, value));
    }
}

/// A word, or a quoted text in which a backslash takes the next sign as it is.
fn token(signs: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut token = String::new();
    let Some(quote) = signs.next_if(|sign| matches!(sign, '"' | '\'')) else {
        while let Some(sign) = signs.next_if(|sign| !sign.is_whitespace() && !"=;\"'".contains(*sign)) {
            token.push(sign);
        }
        return if token.is_empty() {
            Err("an option has no name or no value".to_owned())
        } else {
            Ok(token)
        };
    };
    loop {
        match signs.next() {
            None => return Err("a quote is not closed".to_owned()),
            Some(sign) if sign == quote => return Ok(token),
            Some('\\') => token.extend(signs.next()),
            Some(sign) => token.push(sign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str, is_raw: bool) -> Vec<(String, String)> {
        let jaas = Jaas::parse(text, is_raw).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        jaas.options.into_iter().collect()
    }

    #[test]
    fn modules_and_options_are_read_as_java_reads_them() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, expected) in [
            ("a.b.PlainLoginModule required;", vec![]),
            ("M required username=\"u\" password=\"p\";", vec![pair("password", "p"), pair("username", "u")]),
            ("M REQUIRED\n  a = 'x y' b=z ;", vec![pair("a", "x y"), pair("b", "z")]),
            ("M required p=\"a\\\"b\\\\c;=\";", vec![pair("p", "a\"b\\c;=")]),
            // What stands behind a placeholder is a value, whatever it holds.
            (
                "M required p=\"${CARGO_PKG_NAME}\" q=\"$$x\";",
                vec![pair("p", "kmirror-cli"), pair("q", "$x")],
            ),
        ] {
            assert_eq!(options(text, true), expected, "{text}");
        }
        let behind = "${KMIRROR_NO_SUCH_NAME:-M required p=$$x;}";
        assert_eq!(options(behind, true), [pair("p", "$$x")]);
        assert_eq!(options("M required p=\"${X}\";", false), [pair("p", "${X}")]);
        assert_eq!(
            Jaas::parse("a.b.C required;", true).ok().map(|jaas| jaas.module_name().to_owned()),
            Some("C".to_owned())
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_its_values() {
        for (text, said) in [
            ("", "`;` at its end"),
            ("M required p=\"hunter2\"", "`;` at its end"),
            ("M p=\"hunter2\";", "`required` is missing behind M"),
            ("M required p=\"hunter2;", "a quote is not closed"),
            ("M required hunter2;", "an option has no value"),
            ("M required p=;", "no name or no value"),
            ("M required; N required;", "only one login module"),
            ("p=\"hunter2\" required;", "begins with no login module"),
        ] {
            let problem = Jaas::parse(text, true).err().unwrap_or_else(|| panic!("{text}"));
            assert!(problem.contains(said) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
