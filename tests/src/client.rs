//! A plain HTTP client, and the questions tests ask.

use serde_json::Value;
use std::time::{Duration, Instant};

/// Asks one server.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

/// What came back; a connection that failed has status 0.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with what it was otherwise.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// Percent-encodes a query parameter.
pub fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

impl Client {
    /// Of `host:port`.
    pub fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_idle_connections(0)
            .build();
        Self { base: format!("http://{address}"), agent: config.into() }
    }

    fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
        match result {
            Err(error) => Answer { status: 0, headers: Vec::new(), body: error.to_string().into_bytes() },
            Ok(mut response) => {
                let headers = response
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
                    .collect();
                let status = response.status().as_u16();
                match response.body_mut().with_config().limit(1 << 30).read_to_vec() {
                    Ok(body) => Answer { status, headers, body },
                    Err(error) => Answer { status: 0, headers, body: error.to_string().into_bytes() },
                }
            }
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        Self::answer(self.agent.get(format!("{}{path}", self.base)).call())
    }

    /// GET with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::answer(request.call())
    }

    /// POST with headers.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::answer(request.send(body))
    }

    fn data(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()["data"].clone()
    }

    /// An instant PromQL query at `time` (Unix seconds): `data.result`.
    pub fn promql_at(&self, query: &str, time: f64) -> Value {
        self.data(&format!("/api/v1/query?query={}&time={time}", encode(query)))["result"].clone()
    }

    /// An instant PromQL query now.
    pub fn promql(&self, query: &str) -> Value {
        self.data(&format!("/api/v1/query?query={}", encode(query)))["result"].clone()
    }

    /// The sum of an instant vector's values.
    pub fn promql_sum(&self, query: &str) -> f64 {
        let result = self.promql(query);
        result
            .as_array()
            .unwrap()
            .iter()
            .map(|series| series["value"][1].as_str().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// A LogQL range query over the last hour: `data.result`.
    pub fn logql(&self, query: &str, limit: usize) -> Value {
        self.data(&format!("/loki/api/v1/query_range?query={}&limit={limit}", encode(query)))["result"].clone()
    }

    /// The lines a LogQL query finds in the last hour.
    pub fn lines(&self, query: &str, limit: usize) -> Vec<String> {
        let streams = self.logql(query, limit);
        let entries = streams.as_array().unwrap().iter().flat_map(|stream| stream["values"].as_array().unwrap());
        entries.map(|entry| entry[1].as_str().unwrap().to_owned()).collect()
    }

    /// The traces a TraceQL search finds in the last quarter of an hour.
    pub fn traceql(&self, query: &str, limit: usize) -> Vec<Value> {
        let answer = self.get(&format!("/api/search?q={}&limit={limit}", encode(query)));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["traces"].as_array().unwrap().clone()
    }

    /// The rows of a SQL query.
    pub fn sql(&self, statement: &str) -> Vec<Value> {
        let answer = self.post("/api/v1/sql", &[("content-type", "text/plain")], statement.as_bytes());
        assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
        answer.json()["rows"].as_array().unwrap().clone()
    }

    /// The one number of a SQL query.
    pub fn count(&self, statement: &str) -> i64 {
        let rows = self.sql(statement);
        let row = rows.first().and_then(Value::as_object).unwrap_or_else(|| panic!("{statement}: no row"));
        row.values().next().and_then(Value::as_i64).unwrap_or_else(|| panic!("{statement}: {row:?}"))
    }
}

/// Asks until `done` is true; panics with `what` after `limit`. Tests wait for an outcome, never for
/// a time.
pub fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
