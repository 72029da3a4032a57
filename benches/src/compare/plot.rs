//! The comparison as a picture: one bar for each topic and contender, as long as the logarithm of its CPU.

use std::fmt::Write as _;

use super::report::Summary;

/// An SVG picture of CPU seconds per gigabyte on the wire.
pub(crate) fn bars(summaries: &[Summary]) -> String {
    let most = summaries.iter().map(|summary| summary.per_gigabyte.median).fold(LEAST * 10.0, f64::max);
    let length = |value: f64| BARS * (value.max(LEAST) / LEAST).log10() / (most / LEAST).log10();
    let mut body = String::new();
    let (mut y, mut cell) = (MARGIN, "");
    for summary in summaries {
        if summary.cell != cell {
            cell = &summary.cell;
            y += LINE / 2.0;
            let _ = writeln!(
                body,
                r#"<text x="{MARGIN}" y="{:.0}" font-weight="bold">{}</text>"#,
                y + TEXT,
                escaped(cell)
            );
            y += LINE;
        }
        let color = if summary.contender == "kmirror" { "#0072b2" } else { "#bbbbbb" };
        let end = length(summary.per_gigabyte.median);
        let _ = writeln!(
            body,
            r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{}</text><rect x="{NAMES:.0}" y="{:.0}" width="{end:.1}" height="{:.0}" fill="{color}"/><text x="{:.0}" y="{:.0}">{:.2}</text>"#,
            NAMES - 6.0,
            y + TEXT,
            escaped(&summary.contender),
            y + 3.0,
            LINE - 6.0,
            NAMES + end + 6.0,
            y + TEXT,
            summary.per_gigabyte.median,
        );
        y += LINE;
    }
    let (width, height) = (NAMES + BARS + 70.0, y + LINE + MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}\
         <text x=\"{NAMES:.0}\" y=\"{:.0}\" fill=\"#555555\">CPU seconds per GB on the wire, logarithmic</text>\n</svg>\n",
        y + LINE,
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const MARGIN: f64 = 10.0;
const LINE: f64 = 22.0;
/// From the top of a line to the foot of its letters.
const TEXT: f64 = 15.0;
const NAMES: f64 = 170.0;
const BARS: f64 = 480.0;
/// Where the axis begins, in CPU seconds.
const LEAST: f64 = 0.05;
