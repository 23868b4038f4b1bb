//! The operator's SQL against a real PostgreSQL, the oldest and the newest that we support.

/// Makes tests of these functions, each on every version.
macro_rules! on_every_version {
    (in $module:ident, on $version:ident: $($test:ident)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(crate::support::postgres::Version::$version).await;
                }
            )*
        }
    };
    ($($test:ident),* $(,)?) => {
        on_every_version!(in postgres_15, on V15: $($test)*);
        on_every_version!(in postgres_18, on V18: $($test)*);
    };
}

mod access;
mod archiving;
mod attacks;
mod bootstrap;
mod connect;
mod converge;
mod crash;
mod dropping;
mod extensions;
mod fence;
mod fixture;
mod isolation;
mod meddled;
mod pool;
mod quote;
mod records;
mod rotation;
mod tenancy;
mod tombstone;
