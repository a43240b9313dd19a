//! Numbers for routes and destinations, which never change their meaning, and versions, which only rise.

use lethe_types::RouteId;

use crate::open::narrow;
use crate::{Store, StoreError};

const INSERT_ROUTE: &str = "INSERT INTO routes (provider, model, upstream) VALUES ($1, $2, $3) RETURNING id";
const ROUTE: &str = "SELECT id FROM routes WHERE provider = $1 AND model = $2 AND upstream = $3";
const ROUTES: &str = "SELECT id, provider, model, upstream FROM routes ORDER BY id";
const INSERT_ENDPOINT: &str = "INSERT INTO endpoints (host, port) VALUES ($1, $2) RETURNING id";
const ENDPOINT: &str = "SELECT id FROM endpoints WHERE host = $1 AND port = $2";
const RAISE: &str = "INSERT INTO settings (name, value) VALUES ($1, 1) \
     ON CONFLICT (name) DO UPDATE SET value = settings.value + 1 RETURNING value";

/// What a route's number stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteName {
    /// Id of the provider.
    pub provider: String,
    /// The model that clients name.
    pub model: String,
    /// The provider's name of it.
    pub upstream: String,
}

/// A number that only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Version of the endpoint list.
    EndpointsVersion,
    /// Version of the snapshot.
    SnapshotVersion,
}

impl Counter {
    const fn name(self) -> &'static str {
        match self {
            Self::EndpointsVersion => "endpoints_version",
            Self::SnapshotVersion => "snapshot_version",
        }
    }
}

impl Store {
    /// The number of each route, in the order given; new routes get new numbers.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn number_routes(&self, routes: &[RouteName]) -> Result<Vec<RouteId>, StoreError> {
        let mut tx = self.tx("number_routes").await?;
        let done = async {
            let mut ids = Vec::with_capacity(routes.len());
            for RouteName { provider, model, upstream } in routes {
                let name = |statement: &'static str| sqlx::query_scalar(statement).bind(provider).bind(model).bind(upstream);
                let found: Option<i64> = name(ROUTE).fetch_optional(tx.on()?).await?;
                let id = match found {
                    Some(id) => id,
                    None => name(INSERT_ROUTE).fetch_one(tx.on()?).await?,
                };
                ids.push(RouteId(narrow(id)?));
            }
            Ok(ids)
        }
        .await;
        tx.end(done).await
    }

    /// Every route there has ever been, by number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn routes(&self) -> Result<Vec<(RouteId, RouteName)>, StoreError> {
        let rows: Vec<(i64, String, String, String)> =
            sqlx::query_as(ROUTES).fetch_all(&self.readers).await.map_err(|error| StoreError::in_tx("routes", &error))?;
        rows.into_iter()
            .map(|(id, provider, model, upstream)| Ok((RouteId(narrow(id)?), RouteName { provider, model, upstream })))
            .collect()
    }

    /// The number of each destination (host, port), in the order given, from 1; new destinations get new numbers.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn number_endpoints(&self, endpoints: &[(String, u16)]) -> Result<Vec<u32>, StoreError> {
        let mut tx = self.tx("number_endpoints").await?;
        let done = async {
            let mut ids = Vec::with_capacity(endpoints.len());
            for (host, port) in endpoints {
                let name = |statement: &'static str| sqlx::query_scalar(statement).bind(host).bind(i64::from(*port));
                let found: Option<i64> = name(ENDPOINT).fetch_optional(tx.on()?).await?;
                let id = match found {
                    Some(id) => id,
                    None => name(INSERT_ENDPOINT).fetch_one(tx.on()?).await?,
                };
                ids.push(narrow(id)?);
            }
            Ok(ids)
        }
        .await;
        tx.end(done).await
    }

    /// Raises a number by one and returns it; the first is 1.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn raise(&self, counter: Counter) -> Result<u64, StoreError> {
        let mut tx = self.tx("raise").await?;
        let done = async {
            let value: i64 = sqlx::query_scalar(RAISE).bind(counter.name()).fetch_one(tx.on()?).await?;
            Ok(narrow(value)?)
        }
        .await;
        tx.end(done).await
    }
}
