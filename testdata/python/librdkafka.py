"""librdkafka, the client of most languages but Java, as a judge. Commands:

write ADDRESS TOPIC CODEC COUNT             idempotently, to all partitions
transactions ADDRESS TOPIC ID COUNT         COUNT transactions of ten records; every third one is aborted
copy ADDRESS SOURCE TARGET GROUP ID COUNT   COUNT records from topic to topic, exactly once
dump ADDRESS TOPIC ISOLATION                every record as a line, checksums checked
group ADDRESS TOPIC GROUP COUNT             reads COUNT records as a member of a group, commits, leaves
committed ADDRESS TOPIC GROUP               what the group has committed
"""

import sys

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

PATIENCE_SECONDS = 30


def partitions(address, topic):
    topics = AdminClient({"bootstrap.servers": address}).list_topics(topic, timeout=PATIENCE_SECONDS).topics
    return sorted(topics[topic].partitions)


def raise_on_error(error, _):
    if error is not None:
        raise KafkaException(error)


def record(index):
    headers = [("index", str(index).encode()), ("none", None), ("index", b"again")]
    return {"key": f"key-{index % 7}".encode(), "value": f"value {index} ".encode() * 20, "headers": headers}


def write(address, topic, codec, count):
    producer = Producer({
        "bootstrap.servers": address, "enable.idempotence": True, "compression.type": codec, "linger.ms": 5,
        "message.timeout.ms": 20000,
    })
    numbers = partitions(address, topic)
    for index in range(int(count)):
        number = numbers[index % len(numbers)]
        producer.produce(topic, partition=number, on_delivery=raise_on_error, **record(index))
    assert producer.flush(PATIENCE_SECONDS) == 0, "not everything was acknowledged"


def transactions(address, topic, transactional_id, count):
    producer = Producer({"bootstrap.servers": address, "transactional.id": transactional_id})
    producer.init_transactions(PATIENCE_SECONDS)
    for number in range(int(count)):
        producer.begin_transaction()
        for index in range(10):
            producer.produce(topic, partition=0, **record(number * 10 + index))
        if number % 3 == 2:
            producer.flush(PATIENCE_SECONDS)
            producer.abort_transaction(PATIENCE_SECONDS)
        else:
            producer.commit_transaction(PATIENCE_SECONDS)


def consumer(address, **settings):
    config = {"bootstrap.servers": address, "group.id": "librdkafka", "enable.auto.commit": False, "check.crcs": True}
    return Consumer({**config, **settings})


def copy(address, source, target, group_id, transactional_id, count):
    reader = consumer(address, **{"group.id": group_id, "auto.offset.reset": "earliest", "isolation.level": "read_committed"})
    reader.subscribe([source])
    producer = Producer({"bootstrap.servers": address, "transactional.id": transactional_id})
    producer.init_transactions(PATIENCE_SECONDS)
    left = int(count)
    while left:
        messages = reader.consume(min(left, 7), PATIENCE_SECONDS)
        assert messages, f"{left} records are missing"
        producer.begin_transaction()
        for message in messages:
            assert message.error() is None, message.error()
            producer.produce(target, key=message.key(), value=message.value())
        positions = reader.position(reader.assignment())
        producer.send_offsets_to_transaction(positions, reader.consumer_group_metadata(), PATIENCE_SECONDS)
        producer.commit_transaction(PATIENCE_SECONDS)
        left -= len(messages)
    reader.close()


def dump(address, topic, isolation):
    reader = consumer(address, **{"isolation.level": isolation, "enable.partition.eof": True})
    numbers = partitions(address, topic)
    reader.assign([TopicPartition(topic, number, 0) for number in numbers])
    rows, left = [], set(numbers)
    while left:
        message = reader.poll(PATIENCE_SECONDS)
        assert message is not None, f"nothing more of {sorted(left)}"
        if message.error():
            assert message.error().name() == "_PARTITION_EOF", message.error()
            left.discard(message.partition())
            continue
        kind, timestamp = message.timestamp()
        rows.append((message.partition(), message.offset(), kind, timestamp, message.key(), message.headers(), message.value()))
    reader.close()
    for row in sorted(rows, key=lambda row: row[:2]):
        print(*row, sep="\t")


def group(address, topic, group_id, count):
    reader = consumer(address, **{"group.id": group_id, "auto.offset.reset": "earliest", "isolation.level": "read_committed"})
    reader.subscribe([topic])
    left = int(count)
    while left:
        message = reader.poll(PATIENCE_SECONDS)
        assert message is not None, f"{left} records are missing"
        assert message.error() is None, message.error()
        print(message.partition(), message.offset(), sep="\t")
        left -= 1
    reader.commit(asynchronous=False)
    reader.close()


def committed(address, topic, group_id):
    admin = AdminClient({"bootstrap.servers": address})
    wanted = ConsumerGroupTopicPartitions(group_id, [TopicPartition(topic, number) for number in partitions(address, topic)])
    answer = list(admin.list_consumer_group_offsets([wanted]).values())[0].result(PATIENCE_SECONDS)
    for partition in answer.topic_partitions:
        print(partition.partition, partition.offset, sep="\t")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands = [write, transactions, copy, dump, group, committed]
    {known.__name__: known for known in commands}[command](*arguments)
