//! Figures that tests say and do not judge: a machine that has much else to do must not fail them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How long something took, and how long it may: `figure: NAME: 0.290 s, at most 1 s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    of: String,
    seconds: f64,
    seconds_max: f64,
}

/// The worst of each name, in the order in which they were said.
pub(super) fn figures(lines: &[String]) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    for figure in lines.iter().filter_map(|line| Figure::read(line)) {
        match figures.iter_mut().find(|known| known.of == figure.of) {
            Some(known) => known.seconds = known.seconds.max(figure.seconds),
            None => figures.push(figure),
        }
    }
    figures
}

impl Figure {
    fn read(line: &str) -> Option<Figure> {
        let (_, figure) = line.split_once("figure: ")?;
        let (rest, most) = figure.rsplit_once(" s, at most ")?;
        let (of, seconds) = rest.rsplit_once(": ")?;
        let seconds_max = most.strip_suffix(" s")?.parse().ok()?;
        Some(Figure { of: of.to_owned(), seconds: seconds.parse().ok()?, seconds_max })
    }

    pub(super) fn is_missed(&self) -> bool {
        self.seconds > self.seconds_max
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { of, seconds, seconds_max } = self;
        write!(formatter, "{of}: {seconds:.3} s, at most {seconds_max} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_each_name_counts() {
        let lines = [
            "running 2 tests",
            "test a ... figure: a: b: 0.290 s, at most 1 s",
            "figure: c: 3.1 s, at most 2 s",
            "figure: a: b: 0.310 s, at most 1 s",
            "figure: a: b: 0.300 s, at most 1 s",
            "figure: nothing",
        ];
        let found = figures(&lines.map(str::to_owned));
        let said: Vec<_> = found.iter().map(|figure| (figure.to_string(), figure.is_missed())).collect();
        let expected = [("a: b: 0.310 s, at most 1 s", false), ("c: 3.100 s, at most 2 s", true)];
        assert_eq!(said, expected.map(|(text, is_missed)| (text.to_owned(), is_missed)));
    }
}
