//! Standing by while another owner appends to a partition. Pure: it is told what each look at the log showed.
//!
//! Two owners that both append harm nobody where all is data, but each hole is a race between their markers. So the one that
//! was refused steps back, watches the log, and goes on only when nobody else does. That needs no lease and no clock that
//! others would have to trust: who is wrong about it loses a race, not a record.

/// What is known of another owner of a partition.
///
/// ```text
///  Alone ──refused──▶ Watching ──log stands still though there is more to copy──▶ Alone
///                      │    ▲
///                      └────┘ log moves, or there is nothing to copy
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standby {
    /// Nobody else has been noticed.
    #[default]
    Alone,
    /// Somebody was ahead; where the log ended at the last look, if there was one since.
    Watching { log_end: Option<i64> },
}

impl Standby {
    /// An append was refused because somebody else was ahead.
    pub(crate) fn refused(&mut self) {
        *self = Standby::Watching { log_end: None };
    }

    /// Somebody else appended while the log was read.
    pub(crate) fn moved(&mut self) {
        *self = Standby::Watching { log_end: None };
    }

    /// Takes in a look at the target's log and at the source's end. `true`: appending may go on.
    pub(crate) fn look(&mut self, log_end: i64, source_end: i64) -> bool {
        let Standby::Watching { log_end: before } = *self else { return true };
        let stands_still = before == Some(log_end) && source_end > log_end;
        *self = if stands_still { Standby::Alone } else { Standby::Watching { log_end: Some(log_end) } };
        stands_still
    }
}

/// Refusals of the next sequence, one after the other, while nobody appended anything in between: the sequence is the one that the log
/// shows, and still it is not the broker's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    count: u32,
    /// Where the log was found to end before the last one, as a source offset.
    position: i64,
}

impl Refusals {
    /// A sequence was refused behind `position`. `true`: that is no other owner's doing any more, and counting begins anew.
    pub(crate) fn refused(&mut self, position: i64) -> bool {
        let before = if position == self.position { self.count } else { 0 };
        let is_too_often = before >= REFUSALS_MAX;
        *self = Refusals { count: if is_too_often { 0 } else { before + 1 }, position };
        is_too_often
    }
}

const REFUSALS_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_count_while_nobody_gets_on() {
        let mut refusals = Refusals::default();
        let mut refused =
            |position: i64, times: usize| (0..times).filter(|_| refusals.refused(position)).count();
        assert_eq!(refused(5, 10), 0);
        assert_eq!(refused(6, 10), 0, "somebody appended in between");
        assert_eq!(refused(6, 1), 1, "once too often");
        assert_eq!(refused(6, 10), 0, "it is tried again later");
        assert_eq!(refused(6, 1), 1);
        assert_eq!(refused(4, 10), 0, "the target lost records");
    }

    #[test]
    fn alone_it_appends_at_once() {
        assert!(Standby::default().look(5, 5));
        assert!(Standby::default().look(5, 9));
    }

    #[test]
    fn after_a_refusal_it_goes_on_only_where_the_log_stands_still() {
        let mut standby = Standby::default();
        standby.refused();
        assert!(!standby.look(10, 30), "one look does not tell whether it moves");
        assert!(!standby.look(20, 30), "it moves");
        assert!(!standby.look(30, 30), "it moves");
        assert!(!standby.look(30, 30), "there is nothing to do");
        assert!(standby.look(30, 31), "it stood still, and there is something to do");
        assert!(standby.look(40, 50), "alone again");
        standby.refused();
        assert!(!standby.look(40, 50), "what was seen before the refusal does not count");
    }
}
