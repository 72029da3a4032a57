//! What MirrorMaker 2 calls its topics (`DefaultReplicationPolicy`, KIP-949): aliases and words with a separator between them. Pure.

/// Which records of MirrorMaker 2 are written on the target, for programs that read them by `RemoteClusterUtils` or `MirrorClient`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mm2Topics {
    /// `heartbeats` and `{source}.heartbeats`: that the mirror lives, and what is upstream. Default: no.
    pub heartbeats: bool,
    /// `{source}.checkpoints.internal`: where each group that follows stands on both sides. Default: no.
    pub checkpoints: bool,
    /// `mm2-offset-syncs.{…}.internal`: which source offset is which target offset. Default: no.
    pub offset_syncs: OffsetSyncs,
    /// What stands between an alias and the name of a topic (MirrorMaker 2: `replication.policy.separator`). Default: a dot.
    pub separator: String,
    /// The same in the names of checkpoints and offset syncs (`replication.policy.internal.topic.separator.enabled`). Default: as
    /// `separator`.
    pub internal_separator: Option<String>,
}

impl Default for Mm2Topics {
    fn default() -> Mm2Topics {
        Mm2Topics {
            heartbeats: false,
            checkpoints: false,
            offset_syncs: OffsetSyncs::default(),
            separator: ".".to_owned(),
            internal_separator: None,
        }
    }
}

/// Where offset syncs are written (MirrorMaker 2: `offset-syncs.topic.location`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetSyncs {
    /// Nowhere.
    #[default]
    Nowhere,
    /// To `mm2-offset-syncs.{target}.internal` on the source, which kmirror writes to for nothing else.
    Source,
    /// To `mm2-offset-syncs.{source}.internal` on the target.
    Target,
}

impl Mm2Topics {
    /// Heartbeats that came from this cluster.
    pub(crate) fn heartbeats_of(&self, alias: &str) -> String {
        format!("{alias}{}{HEARTBEATS}", self.separator)
    }

    /// Checkpoints of groups of this cluster.
    pub(crate) fn checkpoints_of(&self, alias: &str) -> String {
        let separator = self.internal_separator();
        format!("{alias}{separator}checkpoints{separator}internal")
    }

    /// Offset syncs with this cluster.
    pub(crate) fn offset_syncs_with(&self, alias: &str) -> String {
        let separator = self.internal_separator();
        format!("mm2-offset-syncs{separator}{alias}{separator}internal")
    }

    /// Whether the target's topic of this name is one that a flow from `source` writes its heartbeats to.
    pub(crate) fn are_heartbeats(&self, source: &str, target_topic: &str) -> bool {
        target_topic == HEARTBEATS || target_topic == self.heartbeats_of(source)
    }

    fn internal_separator(&self) -> &str {
        self.internal_separator.as_ref().unwrap_or(&self.separator)
    }
}

/// Whether this is a topic of checkpoints, whatever the separator is.
pub(crate) fn is_checkpoints(topic: &str) -> bool {
    let Some((before, separator)) =
        topic.strip_suffix("internal").and_then(|topic| topic.rsplit_once("checkpoints"))
    else {
        return false;
    };
    !separator.is_empty() && before.strip_suffix(separator).is_some_and(|alias| !alias.is_empty())
}

/// `MirrorClientConfig.HEARTBEATS_TOPIC`.
pub(crate) const HEARTBEATS: &str = "heartbeats";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_mirror_maker() {
        let names = |separator: &str, internal: Option<&str>| {
            let topics = Mm2Topics {
                separator: separator.to_owned(),
                internal_separator: internal.map(str::to_owned),
                ..Mm2Topics::default()
            };
            [topics.heartbeats_of("A"), topics.checkpoints_of("A"), topics.offset_syncs_with("B")]
        };
        let dots = ["A.heartbeats", "A.checkpoints.internal", "mm2-offset-syncs.B.internal"];
        assert_eq!(names(".", None), dots);
        assert_eq!(
            names("__", None),
            ["A__heartbeats", "A__checkpoints__internal", "mm2-offset-syncs__B__internal"]
        );
        assert_eq!(names("_", Some(".")), ["A_heartbeats", dots[1], dots[2]]);
    }

    #[test]
    fn checkpoints_are_known_by_any_separator() {
        for topic in ["A.checkpoints.internal", "A__checkpoints__internal", "A.B-checkpoints-internal"] {
            assert!(is_checkpoints(topic), "{topic}");
        }
        for topic in [
            "A.checkpoints_internal",
            ".checkpoints.internal",
            "checkpointsinternal",
            "A.internal",
            "Acheckpointsinternal",
        ] {
            assert!(!is_checkpoints(topic), "{topic}");
        }
    }
}
