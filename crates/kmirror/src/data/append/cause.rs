//! Why an appender gives a partition back.

/// What made a take-over necessary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TakeOverCause {
    /// The broker refused a data batch as not the next one (OUT_OF_ORDER_SEQUENCE_NUMBER): somebody else appends.
    OutOfOrder,
    /// The log does not end where our last append ended: another owner has gone on.
    Overtaken,
    /// The log has offsets that are not ours between our appends: what follows is not where the lineage puts it.
    Displaced {
        /// The target offset that was expected.
        expected: i64,
        /// The one that the target reported.
        found: i64,
    },
    /// A batch was answered as appended, and where it should be others lie: it was taken for the repeat of another owner's.
    Mistaken {
        /// The target offset at which it should be.
        offset: i64,
    },
    /// The broker refused our marker's token (TRANSACTION_COORDINATOR_FENCED): a later owner has appended.
    Fenced {
        /// The token that was refused.
        token: i32,
    },
    /// An answer was lost with its connection: whether it was executed must be seen.
    AnswerLost(String),
    /// Others on its connection waited for it, since it was not replicated in time (REQUEST_TIMED_OUT), or lost the connection, since its
    /// batch is too large for the broker; or that may be so. The broker's words, or how we know.
    HoldsUpOthers(String),
    /// It held up others, went on apart from them, and is acknowledged again.
    Recovered,
    /// Another broker leads the partition, or none.
    LeaderUnknown(String),
    /// The same append was refused for a passing reason again and again. The broker's words.
    Refused(String),
    /// The next hole is long enough to make up for one that came out too long.
    CanMakeUp,
    /// A batch was refused that was merged from several: only one of them may be at fault.
    MergedRefused,
}
