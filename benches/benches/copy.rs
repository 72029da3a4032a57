//! The steps of a copy, one by one: `cargo bench -p kmirror-bench`.
#![allow(missing_docs, reason = "the macros make what is not documented")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kmirror_bench::cases::cases;

fn steps(criterion: &mut Criterion) {
    let cases = match cases() {
        Ok(cases) => cases,
        Err(error) => return eprintln!("error: {error}"),
    };
    for mut case in cases {
        let Some((step, input)) =
            case.name.split_once('/').map(|(step, input)| (step.to_owned(), input.to_owned()))
        else {
            continue;
        };
        let mut group = criterion.benchmark_group(step);
        group.throughput(Throughput::Bytes(case.bytes));
        group.bench_function(input, |bencher| bencher.iter(|| case.run()));
        group.finish();
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args()
}

criterion_group!(name = copy; config = short(); targets = steps);
criterion_main!(copy);
