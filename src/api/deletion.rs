//! What becomes of a database when nobody claims it any more. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a database when nobody claims it any more. Whatever it says, logins are refused first, and nothing is
/// dropped without a verified archive.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum DeletionPolicy {
    // From the one that keeps least to the one that keeps most: that is their order.
    /// It is purged: renamed out of the way, archived, and dropped after seven days if the archive is verified.
    Delete,
    /// It is kept for ever.
    #[default]
    Retain,
    /// It is kept for ever, and a verified archive is made of it besides.
    Snapshot,
}

impl DeletionPolicy {
    /// The word of the schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
            Self::Snapshot => "Snapshot",
        }
    }

    /// The policy of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Delete, Self::Retain, Self::Snapshot].into_iter().find(|it| it.as_str() == word)
    }

    /// The policy of a claim, which is its tenant's people's to write, under what the admin says on the Tenant: the one that
    /// keeps more. A Tenant that says nothing says Retain; a claim that says nothing says what its Tenant does.
    pub fn of(tenant: Option<Self>, claim: Option<Self>) -> Self {
        let tenant = tenant.unwrap_or_default();
        claim.unwrap_or(tenant).max(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::DeletionPolicy::{Delete, Retain, Snapshot};
    use super::*;

    #[test]
    fn nothing_is_deleted_unless_the_tenant_says_so_and_whoever_keeps_more_wins() {
        let all = [None, Some(Delete), Some(Retain), Some(Snapshot)];
        let of = |tenant| all.map(|claim| DeletionPolicy::of(tenant, claim));
        assert_eq!(of(None), [Retain, Retain, Retain, Snapshot]);
        assert_eq!(of(Some(Delete)), [Delete, Delete, Retain, Snapshot]);
        assert_eq!(of(Some(Retain)), [Retain, Retain, Retain, Snapshot]);
        assert_eq!(of(Some(Snapshot)), [Snapshot; 4]);
    }

    #[test]
    fn a_word_is_read_back_as_it_is_written() {
        for policy in [Delete, Retain, Snapshot] {
            assert_eq!(DeletionPolicy::parse(policy.as_str()), Some(policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
        assert_eq!(DeletionPolicy::parse("delete"), None);
    }
}
