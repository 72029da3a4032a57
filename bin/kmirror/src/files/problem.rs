//! Turns errors into messages that say where, and what would be right.

use super::place::{self, Step};
use super::placeholder::{self, PlaceholderError, Replaced};
use crate::exit::Failure;

/// Describes an error of the YAML parser.
pub(crate) fn describe(name: &str, text: &str, error: &serde_yaml::Error) -> Failure {
    let full = error.to_string();
    // Its index counts characters. What is wrong with a value is said of the section that it is in.
    let place = error.location().map(|location| {
        let section = offset_of(text, location.line(), location.column());
        let key = || place::key_at(text, section, full.split_once(": expected ")?.0.rsplit(": ").next()?);
        let at = value_of(text, section, &full).or_else(key).unwrap_or(section);
        let (line, column) = line_and_column(text, at);
        (line, column, at)
    });
    describe_message(name, text, &full, place)
}

/// Describes an error that was found after placeholders were replaced. `before`: the same found without that, which knows its place.
pub(crate) fn describe_replaced(
    name: &str,
    text: &str,
    error: &serde_yaml::Error,
    replaced: &[Replaced],
    before: Option<&serde_yaml::Error>,
) -> Failure {
    let message = placeholder::hidden(&error.to_string(), replaced);
    let without_path = |message: &str| {
        let message = message.split(" at line ").next().unwrap_or(message).to_owned();
        message.split_once(": ").map_or(message.clone(), |(_, rest)| rest.to_owned())
    };
    match before {
        Some(before) if without_path(&before.to_string()).ends_with(&without_path(&message)) => {
            describe(name, text, before)
        }
        _ => {
            let at = place_of(text, &message);
            let place =
                at.map(|at| (line_and_column(text, at), at)).map(|((line, column), at)| (line, column, at));
            describe_message(name, text, &message, place)
        }
    }
}

/// Adds the place to what was found wrong after the file was read: that of the key that the message begins with, or of the value that
/// it quotes.
pub(crate) fn locate(name: &str, text: &str, replaced: &[Replaced], failure: Failure) -> Failure {
    if failure.has_place() {
        return failure;
    }
    let message = placeholder::hidden(&failure.to_string(), replaced);
    match place_of(text, &message) {
        Some(at) => describe_at(name, text, at, &message),
        None => Failure::configuration(format!("{name}: {message}")),
    }
}

fn place_of(text: &str, message: &str) -> Option<usize> {
    let first = message.split([' ', ':']).next().filter(|first| first.contains(['.', '[']));
    let key = first.and_then(|shown| place::find_shown(text, 0, shown));
    value_of(text, key.unwrap_or(0), message).or(key)
}

/// Where the value is that a message quotes.
fn value_of(text: &str, from: usize, message: &str) -> Option<usize> {
    // What is expected may be shown by an example.
    let message = message.split_once(": expected ").map_or(message, |(before, _)| before);
    let variant = message.split_once("unknown variant `").map(|(_, rest)| rest.split('`').next());
    let quoted = variant.unwrap_or_else(|| message.split('"').nth(1)).filter(|quoted| !quoted.is_empty())?;
    // A message doubles backslashes, as YAML may.
    let forms = [quoted.replace("\\\\", "\\"), quoted.to_owned()];
    forms.into_iter().find_map(|form| place::occurrences(text, from, &form).next())
}

/// Describes a placeholder that cannot be replaced.
pub(crate) fn describe_placeholder(name: &str, text: &str, error: &PlaceholderError) -> Failure {
    let failure = |prefix: &str| Failure::configuration(format!("{prefix}: {error}"));
    match place::occurrences(text, 0, &error.placeholder).next() {
        Some(offset) => {
            let (line, column) = line_and_column(text, offset);
            failure(&format!("{name}:{line}:{column}")).at(
                name,
                text,
                offset..offset + error.placeholder.len(),
                "this one",
            )
        }
        None => failure(name),
    }
}

/// Describes a name that stands for nothing, by the place where it is used.
pub(crate) fn describe_name(
    name: &str,
    text: &str,
    path: &[Step<'_>],
    message: &str,
    (unknown, known): (&str, &[String]),
) -> Failure {
    let suggestion = suggestion(unknown, known);
    let found = place::find(text, 0, path).and_then(|key| Some(key + text.get(key..)?.find(unknown)?));
    let failure = |prefix: &str| {
        Failure::configuration(format!("{prefix}: {message}{suggestion}"))
            .help(format!("known here: {}", known.join(", ")))
    };
    match found {
        Some(offset) => {
            let (line, column) = line_and_column(text, offset);
            failure(&format!("{name}:{line}:{column}")).at(
                name,
                text,
                offset..offset + unknown.len(),
                "not known",
            )
        }
        None => failure(name),
    }
}

/// Describes what is wrong with the word at an offset.
pub(crate) fn describe_at(name: &str, text: &str, offset: usize, message: &str) -> Failure {
    let (line, column) = line_and_column(text, offset);
    let failure = Failure::configuration(format!("{name}:{line}:{column}: {message}"));
    failure.at(name, text, offset..end_of_word(text, offset), "here")
}

fn describe_message(name: &str, text: &str, full: &str, place: Option<(usize, usize, usize)>) -> Failure {
    let message = full.split(" at line ").next().unwrap_or(full);
    let prefix = match place {
        Some((line, column, _)) => format!("{name}:{line}:{column}"),
        None => name.to_owned(),
    };
    if let Some((unknown, known)) = unknown_among(message, "unknown field ") {
        let failure = |prefix: String| {
            let suggestion = suggestion(&unknown, &known);
            Failure::configuration(format!("{prefix}: unknown key `{unknown}`{suggestion}"))
                .help(format!("known here: {}", known.join(", ")))
        };
        // The parser points at it or at the mapping around it.
        let from = place.map_or(0, |(_, _, index)| index);
        let found = place::key_at(text, from, &unknown).or_else(|| place::key_at(text, 0, &unknown));
        let Some(offset) = found else { return failure(prefix) };
        let (line, column) = line_and_column(text, offset);
        return failure(format!("{name}:{line}:{column}")).at(
            name,
            text,
            offset..offset + unknown.len(),
            "not known",
        );
    }
    let suggestion = unknown_among(message, "unknown variant ")
        .map(|(unknown, known)| suggestion(&unknown, &known))
        .unwrap_or_default();
    let failure = Failure::configuration(format!("{prefix}: {message}{suggestion}"));
    match place {
        Some((_, _, index)) => failure.at(name, text, index..end_of_word(text, index), "here"),
        None => failure,
    }
}

/// A name and those that are known out of serde's message: "unknown field `a`, expected one of `b`, `c`".
fn unknown_among(message: &str, what: &str) -> Option<(String, Vec<String>)> {
    let (_, after) = message.split_once(what)?;
    let mut names = after.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((names.next()?, names.collect()))
}

/// What to write instead, if something is like it.
pub(crate) fn suggestion<S: AsRef<str>>(unknown: &str, known: &[S]) -> String {
    nearest(unknown, known).map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// The known name that is most like it, if any is.
fn nearest<'a, S: AsRef<str>>(unknown: &str, known: &'a [S]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(unknown, candidate.as_ref()), candidate.as_ref()))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|(first, _), (second, _)| first.total_cmp(second))
        .map(|(_, candidate)| candidate)
}

/// Line and column of an offset, as people count them.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |start| start.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

/// The offset of a line and column, counted from one.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line.saturating_sub(1)).map(str::len).sum();
    let rest = lines.next().unwrap_or_default();
    let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    before + within
}

fn end_of_word(text: &str, from: usize) -> usize {
    text.get(from..)
        .map_or(from, |rest| from + rest.find([':', '=', '\n', ',', '}', ']']).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_key_is_named() {
        let message = "flows[0]: unknown field `topcs`, expected one of `source`, `target`, `topics`";
        let (unknown, known) = unknown_among(message, "unknown field ").expect("parsed");
        assert_eq!(suggestion(&unknown, &known), "; did you mean `topics`?");
        assert_eq!(suggestion("zzz", &known), "");
    }

    #[test]
    fn places_are_counted_from_one() {
        assert_eq!(line_and_column("ab\nčd", 0), (1, 1));
        assert_eq!(line_and_column("ab\nčd", 5), (2, 2));
        assert_eq!(offset_of("ab\nčd", 2, 2), 5);
        assert_eq!(offset_of("ab\nčd", 7, 9), 6);
    }
}
