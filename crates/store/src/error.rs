//! Why the store could not do something.

/// Content-free: a database error quotes statements and values, so only its class is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Another process holds the database.
    Busy,
    /// The database breaks its own rules, or a value is out of the range of its type.
    Corrupt,
    /// The same thing exists already.
    Exists,
    /// Records are missing between what was delivered and what came.
    Gap,
    /// The disk is full, not writable, or failed.
    Io,
    /// A name is too long or has control characters.
    Name,
    /// Schema of a newer version of Lethe.
    NewerSchema,
    /// Anything else, in the transaction or statement with this name.
    Other(&'static str),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy => f.write_str("store: another process holds the database"),
            Self::Corrupt => f.write_str("store: the database is damaged"),
            Self::Exists => f.write_str("store: exists already"),
            Self::Gap => f.write_str("store: records are missing"),
            Self::Io => f.write_str("store: the disk is full or not writable"),
            Self::Name => f.write_str("store: names have 1 to 64 printable characters"),
            Self::NewerSchema => f.write_str("store: the database was written by a newer version of Lethe"),
            Self::Other(name) => write!(f, "store: `{name}` failed"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Keeps the class of `error`, which happened in the transaction `name`.
    pub(crate) fn in_tx(name: &'static str, error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt,
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Exists,
            // Primary result codes, <https://www.sqlite.org/rescode.html>: the low byte of the extended code.
            sqlx::Error::Database(database) => {
                match database.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
                    Some(5 | 6) => Self::Busy,
                    Some(8 | 10 | 13 | 14) => Self::Io,
                    Some(11 | 26) => Self::Corrupt,
                    _ => Self::Other(name),
                }
            }
            sqlx::Error::Io(_) => Self::Io,
            _ => Self::Other(name),
        }
    }
}
