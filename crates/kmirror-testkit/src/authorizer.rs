//! Clusters whose clients need permissions. The nodes talk to each other, and the testkit to them, as a super user by SASL on
//! listeners of their own; clients come on the plaintext listener as `User:ANONYMOUS`.

use std::fs;
use std::path::Path;

use crate::{KafkaEndpoint, KafkaJars, TestkitError};

/// Properties that replace those of a node without an authorizer: in a properties file the last value counts.
pub(crate) fn properties(broker: u16, controller: u16, internal: u16) -> String {
    let login = format!("{LOGIN} user_kafka=\"secret\";");
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{broker},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker},INTERNAL://127.0.0.1:{internal}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT\n\
         inter.broker.listener.name=INTERNAL\n\
         sasl.enabled.mechanisms=PLAIN\n\
         sasl.mechanism.inter.broker.protocol=PLAIN\n\
         sasl.mechanism.controller.protocol=PLAIN\n\
         listener.name.internal.plain.sasl.jaas.config={login}\n\
         listener.name.controller.plain.sasl.jaas.config={login}\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:kafka\n\
         allow.everyone.if.no.acl.found=false\n"
    )
}

/// What `kafka-acls` needs to come as the super user.
pub(crate) fn write_admin_config(folder: &Path, internal: u16) -> Result<(), TestkitError> {
    let path = folder.join(ADMIN_CONFIG);
    let config = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={LOGIN};\nbootstrap.servers=127.0.0.1:{internal}\n"
    );
    fs::write(&path, config).map_err(TestkitError::file(&path))
}

/// Runs `kafka-acls --add` for all clients of the node in `folder`.
pub(crate) fn allow(jars: &KafkaJars, folder: &Path, permission: &[&str]) -> Result<(), TestkitError> {
    let path = folder.join(ADMIN_CONFIG);
    let config = fs::read_to_string(&path).map_err(TestkitError::file(&path))?;
    let server = config.lines().find_map(|line| line.strip_prefix("bootstrap.servers=")).unwrap_or_default();
    let config = path.display().to_string();
    // It moved with Kafka 4.0.
    let class = match jars.release().version().starts_with('3') {
        true => "kafka.admin.AclCommand",
        false => "org.apache.kafka.tools.AclCommand",
    };
    let mut arguments = vec![class, "--bootstrap-server", server, "--command-config", &config];
    arguments.extend(["--add", "--allow-principal", "User:ANONYMOUS"]);
    arguments.extend(permission);
    KafkaEndpoint::new(jars.clone(), server).tool(&arguments)?.success().map(drop)
}

const LOGIN: &str =
    "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"kafka\" password=\"secret\"";
const ADMIN_CONFIG: &str = "admin.properties";
