//! What is to be done with `producer.id.expiration.ms`, by what is recorded, what the target says and what the flow wants. Pure.

use std::time::Duration;

use crate::data::append::freshness::{RAISED, RAISED_MS};
use crate::state_topic::claim::{Claim, Claims};

/// What is known when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    /// The flow that looks.
    pub(crate) scope: &'a str,
    pub(crate) claims: &'a Claims,
    /// What is set on the whole cluster.
    pub(crate) present: Option<&'a str>,
    /// How long the brokers remember a producer: the shortest of them.
    pub(crate) remembered: Duration,
    /// Whether the flow has old records to copy.
    pub(crate) wants: bool,
    /// Whether this process has seen the value raised for its flow.
    pub(crate) has_held: bool,
    /// Whether nobody has wanted it for so long that no lease is left.
    pub(crate) has_paused: bool,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, and nothing later: it is high enough, or others see to it.
    Done,
    /// Record this for the flow.
    Record(Claim),
    /// It is recorded: raise it.
    Raise,
    /// It is raised for the flow: that may be relied on for as long as a lease lasts.
    Hold,
    /// Nobody wants it raised any more: look again when no lease is left.
    Pause,
    /// Put back what was set before, and forget all records.
    PutBack(Option<String>),
    /// Somebody else has changed it: that stays, and all records are forgotten. It was to be put back to this.
    Leave(Option<String>),
    /// Others want it raised: forget the flow's own record.
    Withdraw,
    /// It is back already: forget all records.
    Forget,
}

/// Decides.
pub(crate) fn judge(view: &View<'_>) -> Step {
    if view.wants { raise(view) } else { put_back(view) }
}

fn raise(view: &View<'_>) -> Step {
    let own = view.claims.get(view.scope);
    match own {
        Some(own) if own.is_wanted && view.is_raised() => Step::Hold,
        // Whoever recorded it was killed before it was raised, or another one has put it back.
        Some(own) if own.is_wanted && !view.has_held && view.is(&own.before) => Step::Raise,
        Some(own) if own.is_wanted => Step::Leave(own.before.clone()),
        // Another flow has put it back, or has seen that somebody else has changed it.
        _ if view.has_held && !view.is_raised() => Step::Done,
        _ => {
            // What was before the first of those that have raised it.
            let known = own.or_else(|| view.claims.values().next());
            let known = known.filter(|known| view.is_raised() || view.is(&known.before));
            match known {
                Some(known) => Step::Record(Claim { is_wanted: true, ..known.clone() }),
                // By somebody else. Or brokers have a value of their own, which is before it.
                None if view.is_raised() || view.remembered >= RAISED => Step::Done,
                None => Step::Record(Claim {
                    before: view.present.map(str::to_owned),
                    remembered_before: view.remembered,
                    is_wanted: true,
                }),
            }
        }
    }
}

fn put_back(view: &View<'_>) -> Step {
    let own = view.claims.get(view.scope);
    let Some(known) = own.or_else(|| view.claims.values().next()) else { return Step::Done };
    let is_wanted_elsewhere = view.claims.iter().any(|(scope, claim)| scope != view.scope && claim.is_wanted);
    match own {
        Some(_) if is_wanted_elsewhere => Step::Withdraw,
        None if is_wanted_elsewhere => Step::Done,
        // Another instance of the flow still does.
        Some(own) if own.is_wanted && view.has_paused => Step::Done,
        Some(own) if own.is_wanted => Step::Record(Claim { is_wanted: false, ..own.clone() }),
        _ if !view.is_raised() && view.is(&known.before) => Step::Forget,
        _ if !view.is_raised() => Step::Leave(known.before.clone()),
        _ if !view.has_paused => Step::Pause,
        _ => Step::PutBack(known.before.clone()),
    }
}

impl View<'_> {
    fn is_raised(&self) -> bool {
        self.present.and_then(|present| present.parse().ok()) == Some(RAISED_MS)
    }

    fn is(&self, value: &Option<String>) -> bool {
        self.present == value.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const MAX: Option<&str> = Some("2147483647");

    fn claim(before: Option<&str>, is_wanted: bool) -> Claim {
        Claim { before: before.map(str::to_owned), remembered_before: HOUR, is_wanted }
    }

    /// What follows for the flow `own`. `state`: whether the flow wants it, has held it, has paused.
    fn step(claims: &[&(&str, Claim)], present: Option<&str>, state: [bool; 3]) -> Step {
        let claims = claims.iter().map(|(scope, claim)| ((*scope).to_owned(), claim.clone())).collect();
        let [wants, has_held, has_paused] = state;
        let remembered = if present == MAX { RAISED } else { HOUR };
        judge(&View { scope: "own", claims: &claims, present, remembered, wants, has_held, has_paused })
    }

    #[test]
    fn it_is_recorded_before_it_is_raised() {
        let wants = [true, false, false];
        let hour = Some("3600000");
        assert_eq!(step(&[], None, wants), Step::Record(claim(None, true)));
        assert_eq!(step(&[], hour, wants), Step::Record(claim(hour, true)));
        for before in [None, hour] {
            let own = ("own", claim(before, true));
            assert_eq!(step(&[&own], before, wants), Step::Raise, "{before:?}");
            assert_eq!(step(&[&own], MAX, wants), Step::Hold, "{before:?}");
        }
        assert_eq!(step(&[], MAX, wants), Step::Done, "it is high enough");
    }

    #[test]
    fn brokers_with_a_higher_value_of_their_own_are_left_alone() {
        let view = View {
            scope: "own",
            claims: &Claims::new(),
            present: None,
            remembered: RAISED,
            wants: true,
            has_held: false,
            has_paused: false,
        };
        assert_eq!(judge(&view), Step::Done);
        assert!(matches!(judge(&View { remembered: HOUR, ..view }), Step::Record(_)));
    }

    #[test]
    fn whoever_joins_records_what_was_before_the_first() {
        let wants = [true, false, false];
        let others = |is_wanted| ("others", claim(Some("5"), is_wanted));
        for is_wanted in [true, false] {
            assert_eq!(step(&[&others(is_wanted)], MAX, wants), Step::Record(claim(Some("5"), true)));
            assert_eq!(step(&[&others(is_wanted)], Some("5"), wants), Step::Record(claim(Some("5"), true)));
        }
        assert_eq!(
            step(&[&others(true)], Some("7"), wants),
            Step::Record(claim(Some("7"), true)),
            "it was changed"
        );
        let own = ("own", claim(Some("5"), false));
        assert_eq!(
            step(&[&own], MAX, [true, true, false]),
            Step::Record(claim(Some("5"), true)),
            "it is wanted again"
        );
    }

    #[test]
    fn it_is_put_back_when_nobody_wants_it() {
        let (done, paused) = ([false, true, false], [false, true, true]);
        for before in [None, Some("5")] {
            let (wanted, unwanted) = (("own", claim(before, true)), ("own", claim(before, false)));
            assert_eq!(step(&[&wanted], MAX, done), Step::Record(claim(before, false)), "{before:?}");
            assert_eq!(step(&[&unwanted], MAX, done), Step::Pause, "{before:?}");
            assert_eq!(step(&[&unwanted], MAX, paused), Step::PutBack(before.map(str::to_owned)));
            assert_eq!(step(&[&unwanted], before, paused), Step::Forget, "it is back");
            let killed = ("others", claim(before, false));
            assert_eq!(step(&[&killed], MAX, done), Step::Pause, "whoever was to put it back is gone");
            assert_eq!(step(&[&killed], MAX, paused), Step::PutBack(before.map(str::to_owned)));
        }
        assert_eq!(step(&[], MAX, paused), Step::Done, "it is somebody else's");
    }

    #[test]
    fn it_stays_while_another_one_wants_it() {
        let others = ("others", claim(None, true));
        for has_paused in [false, true] {
            let state = [false, true, has_paused];
            for is_wanted in [false, true] {
                let own = ("own", claim(None, is_wanted));
                assert_eq!(step(&[&own, &others], MAX, state), Step::Withdraw);
            }
            assert_eq!(step(&[&others], MAX, state), Step::Done);
        }
        let again = ("own", claim(None, true));
        assert_eq!(step(&[&again], MAX, [false, true, true]), Step::Done, "another instance of the flow");
    }

    #[test]
    fn what_somebody_else_has_set_stays() {
        let own = |is_wanted| ("own", claim(Some("5"), is_wanted));
        let left = || Step::Leave(Some("5".to_owned()));
        assert_eq!(step(&[&own(true)], Some("7"), [true, true, false]), left());
        assert_eq!(step(&[&own(true)], Some("7"), [true, false, false]), left(), "since the process before");
        assert_eq!(step(&[&own(true)], None, [true, true, false]), left());
        assert_eq!(step(&[&own(true)], Some("5"), [true, true, false]), left(), "he has put it back");
        assert_eq!(step(&[], Some("7"), [true, true, false]), Step::Done, "another flow has told of it");
        for has_paused in [false, true] {
            assert_eq!(step(&[&own(false)], Some("7"), [false, true, has_paused]), left());
            assert_eq!(step(&[&own(false)], None, [false, true, has_paused]), left());
        }
    }
}
