//! Where a deployment's objects are: a folder, memory, or a bucket.

use crate::{Error, durable::DurableFolder};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A path or URL: `data`, `/var/lib/weft`, `file:///var/lib/weft`, `memory://`, `s3://bucket/prefix`,
/// `gs://bucket/prefix`, `az://container/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine; made when absent.
    Folder(PathBuf),
    /// Lost with the process.
    Memory,
    /// A bucket.
    Bucket(Url),
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if !text.contains("://") {
            return match text {
                "" => Err(Error::Config("the location of the tables is empty".into())),
                path => Ok(Self::Folder(path.into())),
            };
        }
        let url = Url::parse(text).map_err(|error| Error::Config(format!("'{text}' is no URL: {error}")))?;
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map(Self::Folder)
                .map_err(|()| Error::Config(format!("'{text}' names no folder: write file:///absolute/path"))),
            "memory" => Ok(Self::Memory),
            "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss" | "azure" => Ok(Self::Bucket(url)),
            other => Err(Error::Config(format!(
                "'{text}': scheme '{other}' is not supported; use a path, file://, memory://, s3://, gs:// or az://"
            ))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Memory => f.write_str("memory://"),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

impl Location {
    /// A store rooted here. `options` go before the environment; see [`crate::Config::options`].
    ///
    /// # Errors
    /// When the folder can't be made, an option is unknown, or the builder refuses them together.
    pub fn open(&self, options: &BTreeMap<String, String>) -> Result<Arc<dyn ObjectStore>, Error> {
        match self {
            Self::Folder(path) => Ok(Arc::new(DurableFolder::open(path)?)),
            Self::Memory => Ok(Arc::new(InMemory::new())),
            Self::Bucket(url) => {
                let store: Arc<dyn ObjectStore> = match url.scheme() {
                    "s3" | "s3a" => Arc::new(s3(url, options)?),
                    "gs" => Arc::new(gcs(url, options)?),
                    _ => Arc::new(azure(url, options)?),
                };
                // For abfs URLs the container is the user part, so the path is the prefix for all.
                let prefix = url.path().trim_matches('/');
                Ok(if prefix.is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) })
            }
        }
    }
}

fn known<K: FromStr>(scheme: &str, key: &str) -> Result<K, Error> {
    key.parse().map_err(|_| Error::Config(format!("'{key}' is no option of a store with scheme {scheme}://")))
}

fn refused(url: &Url) -> impl FnOnce(object_store::Error) -> Error {
    let url = url.to_string();
    move |error| Error::Config(format!("can't use {url}: {error}"))
}

/// The store's own retries are few and short: epochs are retried as a whole by the worker, which
/// can say so in its metrics meanwhile.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() }
}

fn client(http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(http)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(120))
}

fn s3(url: &Url, options: &BTreeMap<String, String>) -> Result<impl ObjectStore + use<>, Error> {
    let mut builder = AmazonS3Builder::from_env();
    for (key, value) in options {
        builder = builder.with_config(known::<AmazonS3ConfigKey>("s3", key)?, value);
    }
    // A plain-HTTP endpoint is only ever typed on purpose: MinIO and the like.
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let http = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let bucket = Url::parse(&format!("s3://{}", url.host_str().unwrap_or_default()));
    let bucket = bucket.map_err(|error| Error::Config(format!("{url}: {error}")))?;
    builder.with_url(bucket).with_client_options(client(http)).with_retry(retries()).build().map_err(refused(url))
}

fn gcs(url: &Url, options: &BTreeMap<String, String>) -> Result<impl ObjectStore + use<>, Error> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    for (key, value) in options {
        builder = builder.with_config(known::<GoogleConfigKey>("gs", key)?, value);
    }
    builder
        .with_bucket_name(url.host_str().unwrap_or_default())
        .with_client_options(client(false))
        .with_retry(retries())
        .build()
        .map_err(refused(url))
}

fn azure(url: &Url, options: &BTreeMap<String, String>) -> Result<impl ObjectStore + use<>, Error> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (key, value) in options {
        builder = builder.with_config(known::<AzureConfigKey>(url.scheme(), key)?, value);
    }
    let http =
        builder.get_config_value(&AzureConfigKey::Endpoint).is_some_and(|endpoint| endpoint.starts_with("http://"));
    builder
        .with_url(url.to_string())
        .with_client_options(client(http))
        .with_retry(retries())
        .build()
        .map_err(refused(url))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_location_is_a_path_or_a_url() {
        assert_eq!("data/x".parse::<Location>().unwrap(), Location::Folder("data/x".into()));
        assert_eq!("file:///var/x".parse::<Location>().unwrap(), Location::Folder("/var/x".into()));
        assert_eq!("memory://".parse::<Location>().unwrap(), Location::Memory);
        assert!(matches!("s3://b/p".parse::<Location>().unwrap(), Location::Bucket(_)));
        for wrong in ["", "ftp://x/y", "s3:// /"] {
            assert!(wrong.parse::<Location>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mistyped_option_is_an_error_that_names_it() {
        let location: Location = "s3://bucket/prefix".parse().unwrap();
        let error = location.open(&BTreeMap::from([("aws_endpiont".into(), "x".into())])).unwrap_err();
        assert!(error.to_string().contains("aws_endpiont"), "{error}");
        let good =
            BTreeMap::from([("aws_endpoint".into(), "http://127.0.0.1:1".into()), ("region".into(), "x".into())]);
        location.open(&good).unwrap();
    }
}
