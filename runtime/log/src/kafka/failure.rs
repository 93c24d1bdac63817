//! What librdkafka's errors mean to the caller.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::Error;

/// The crate's error for librdkafka's; `doing` says what failed, for the operator.
pub(super) fn explain(doing: &str, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) => {
            Error::Config(format!("Kafka property {name}={value}: {reason}"))
        }
        KafkaError::ClientCreation(reason) => Error::Config(format!("{doing}: {reason}")),
        KafkaError::AdminOp(code) => by_code(doing, *code),
        other => match other.rdkafka_error_code() {
            Some(code) => by_code(doing, code),
            None => Error::Unavailable(format!("{doing}: {other}")),
        },
    }
}

/// By the broker's or the client's error code.
pub(super) fn by_code(doing: &str, code: RDKafkaErrorCode) -> Error {
    use RDKafkaErrorCode as C;
    let message = format!("{doing}: {code}");
    match code {
        // The sender's fault, or at least the same the next time.
        C::MessageSizeTooLarge
        | C::InvalidRecord
        | C::InvalidMessageSize
        | C::InvalidTimestamp
        | C::InvalidTopic
        | C::UnknownTopicOrPartition
        | C::UnknownTopic
        | C::UnknownPartition
        | C::InvalidPartitions
        | C::PolicyViolation => Error::Rejected(message),
        // The operator's: nothing gets better by itself.
        C::Authentication
        | C::SaslAuthenticationFailed
        | C::UnsupportedSASLMechanism
        | C::IllegalSASLState
        | C::SSL
        | C::TopicAuthorizationFailed
        | C::GroupAuthorizationFailed
        | C::ClusterAuthorizationFailed
        | C::TransactionalIdAuthorizationFailed
        | C::InvalidGroupId
        | C::InconsistentGroupProtocol
        | C::InvalidConfig
        | C::InvalidReplicationFactor
        | C::UnknownProtocol
        | C::SecurityDisabled
        | C::InvalidArgument
        | C::NotImplemented
        | C::UnsupportedFeature
        | C::UnsupportedVersion => Error::Config(message),
        _ => Error::Unavailable(message),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode as C};
    use weft_model::ErrorKind;

    use super::explain;

    #[test]
    fn each_error_says_what_to_do_about_it() {
        let cases = [
            (C::NotEnoughReplicas, ErrorKind::Retry),
            (C::BrokerTransportFailure, ErrorKind::Retry),
            (C::MessageTimedOut, ErrorKind::Retry),
            (C::QueueFull, ErrorKind::Retry),
            (C::MessageSizeTooLarge, ErrorKind::Reject),
            (C::UnknownTopicOrPartition, ErrorKind::Reject),
            (C::SaslAuthenticationFailed, ErrorKind::Config),
            (C::TopicAuthorizationFailed, ErrorKind::Config),
        ];
        for (code, kind) in cases {
            assert_eq!(explain("append", &KafkaError::MessageProduction(code)).kind(), kind, "{code}");
        }
    }
}
