//! Cases that are put to the embedded cluster and to a real one, which must answer alike. The embedded answers are checked always,
//! the real ones where there is Kafka; the tables of the crate's documentation are made from them.

mod group_schedules;
mod groups;
mod logs;
mod transaction_rights;
mod transactions;

/// The table of a family of cases that the crate's documentation shows. Without Kafka at hand a changed judgement is noticed by it
/// all the same. `KMIRROR_CONFORMANCE=write` writes it anew.
fn check_table(family: &str, table: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conformance/{family}.md"));
    if std::env::var("KMIRROR_CONFORMANCE").is_ok_and(|wish| wish == "write") {
        std::fs::write(&path, table).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, table, "KMIRROR_CONFORMANCE=write writes {} anew", path.display());
}
