//! Functions that the server gives to everybody and we do not. Pure.

/// One of them: what creates a large object, which a reader must not,
/// and what writes to the log of changes without a table to count it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RestrictedFunction {
    /// `lo_creat(integer)`.
    LargeObjectCreat,
    /// `lo_create(oid)`.
    LargeObjectCreate,
    /// `lo_from_bytea(oid, bytea)`.
    LargeObjectFromBytea,
    /// `pg_logical_emit_message(boolean, text, text)`, before 17.
    EmitText,
    /// `pg_logical_emit_message(boolean, text, bytea)`, before 17.
    EmitBytes,
    /// `pg_logical_emit_message(boolean, text, text, boolean)`, from 17 on.
    EmitTextFlush,
    /// `pg_logical_emit_message(boolean, text, bytea, boolean)`, from 17 on.
    EmitBytesFlush,
}

impl RestrictedFunction {
    /// All of them, of every version.
    pub const ALL: [Self; 7] = [
        Self::LargeObjectCreat,
        Self::LargeObjectCreate,
        Self::LargeObjectFromBytea,
        Self::EmitText,
        Self::EmitBytes,
        Self::EmitTextFlush,
        Self::EmitBytesFlush,
    ];

    /// Those that a server of that version has.
    pub fn of(version_number: u32) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |function| match function {
            Self::LargeObjectCreat | Self::LargeObjectCreate | Self::LargeObjectFromBytea => true,
            Self::EmitText | Self::EmitBytes => version_number < 170_000,
            Self::EmitTextFlush | Self::EmitBytesFlush => version_number >= 170_000,
        })
    }

    /// Whether those who write have it.
    pub const fn is_for_writers(self) -> bool {
        matches!(self, Self::LargeObjectCreat | Self::LargeObjectCreate | Self::LargeObjectFromBytea)
    }

    /// Name with the types of the arguments, in schema `pg_catalog`, as the server writes it.
    pub const fn signature(self) -> &'static str {
        match self {
            Self::LargeObjectCreat => "lo_creat(integer)",
            Self::LargeObjectCreate => "lo_create(oid)",
            Self::LargeObjectFromBytea => "lo_from_bytea(oid,bytea)",
            Self::EmitText => "pg_logical_emit_message(boolean,text,text)",
            Self::EmitBytes => "pg_logical_emit_message(boolean,text,bytea)",
            Self::EmitTextFlush => "pg_logical_emit_message(boolean,text,text,boolean)",
            Self::EmitBytesFlush => "pg_logical_emit_message(boolean,text,bytea,boolean)",
        }
    }

    /// The function of that signature.
    pub fn from_signature(signature: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.signature() == signature)
    }
}
