//! Turns the parser's errors into messages that say where, and what would be right.

use crate::exit::Failure;

/// Describes an error of the YAML parser.
pub(crate) fn describe(name: &str, text: &str, error: &serde_yaml::Error) -> Failure {
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    let place = error.location().map(|location| (location.line(), location.column(), location.index()));
    let prefix = match place {
        Some((line, column, _)) => format!("{name}:{line}:{column}"),
        None => name.to_owned(),
    };
    let Some((unknown, known)) = unknown_key(message) else {
        let failure = Failure::configuration(format!("{prefix}: {message}"));
        return match place {
            Some((_, _, index)) => failure.at(name, text, index, "here"),
            None => failure,
        };
    };
    let nearest = nearest(&unknown, &known);
    let suggestion =
        nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    let failure = Failure::configuration(format!("{prefix}: unknown key `{unknown}`{suggestion}"))
        .help(format!("known here: {}", known.join(", ")));
    match key_offset(text, place.map_or(0, |(_, _, index)| index), &unknown) {
        Some(offset) => failure.at(name, text, offset, "not known"),
        None => failure,
    }
}

/// The key and its neighbours out of serde's message: "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let (_, after) = message.split_once("unknown field ")?;
    let mut names = after.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((names.next()?, names.collect()))
}

/// The known key that is most like it, if any is.
fn nearest(unknown: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(unknown, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|(first, _), (second, _)| first.total_cmp(second))
        .map(|(_, candidate)| candidate.clone())
}

/// Where the key stands: the parser points at it or at the mapping around it.
fn key_offset(text: &str, from: usize, key: &str) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.find(key).map(|found| from + found).or_else(|| text.find(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_key_is_named() {
        let (unknown, known) =
            unknown_key("flows[0]: unknown field `topcs`, expected one of `source`, `target`, `topics`")
                .expect("parsed");
        assert_eq!(nearest(&unknown, &known).as_deref(), Some("topics"));
        assert_eq!(nearest("zzz", &known), None);
    }
}
