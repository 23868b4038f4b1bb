//! Adoption: what a marker row says of a database that we did not make, and the names that follow from it. Pure.

use super::facts::Marker;
use crate::api::names::{InvalidName, NotAdoptable, PhysicalName};
use crate::api::server_database::Management;

/// What an admin said of a database that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// How much of it is ours: [`Management::Adopt`] or [`Management::Observe`].
    pub management: Management,
    /// Name of the ServerDatabase by which the admin said so.
    pub object: String,
}

/// Why the names of a row's database and roles cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The roles' names.
    #[error(transparent)]
    Roles(#[from] InvalidName),
    /// The database's own.
    #[error(transparent)]
    Database(#[from] NotAdoptable),
}

impl Marker {
    /// The names of the database and of its roles.
    pub fn physical(&self) -> Result<PhysicalName, NameError> {
        if self.adopted.is_none() {
            return Ok(PhysicalName::parse(&self.physical_name)?);
        }
        let roles = PhysicalName::parse(&format!("t_{}_{}", self.tenant_id, self.name.replace('-', "_")))?;
        Ok(roles.of_adopted(&self.physical_name)?)
    }

    /// Name of the ServerDatabase.
    pub fn object_name(&self) -> String {
        match &self.adopted {
            Some(adopted) => adopted.object.clone(),
            None => self.physical_name.replace('_', "-"),
        }
    }

    /// How much of the database is ours.
    pub fn management(&self) -> Management {
        self.adopted.as_ref().map(|adopted| adopted.management).unwrap_or_default()
    }
}

/// What a server says of a database that we did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The role that owns it.
    pub owner: String,
    /// Whether every login of the server may connect to it.
    pub public_connects: bool,
}
