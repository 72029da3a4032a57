//! What several measurements are fed with. The measurements themselves are commands of the program, and benches.

pub mod batches;
pub mod cases;
