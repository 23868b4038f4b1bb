//! The operator's SQL against a real PostgreSQL, the oldest and the newest that we support.

/// Makes tests of these functions, each on every version.
macro_rules! on_every_version {
    ($($test:ident),* $(,)?) => {
        on_every_version!(postgres_15, V15, $($test)*);
        on_every_version!(postgres_18, V18, $($test)*);
    };
    ($module:ident, $version:ident, $($test:ident)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(crate::support::postgres::Version::$version).await;
                }
            )*
        }
    };
}

mod bootstrap;
mod connect;
mod converge;
mod crash;
mod fixture;
mod isolation;
mod quote;
mod records;
