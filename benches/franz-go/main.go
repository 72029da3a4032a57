// Copies one topic as any program with a good client would: polls records and produces them to the same partitions.
//
//	franz-go SOURCE TARGET TOPIC TARGET_TOPIC CODEC
//
// Key, value, headers, timestamp and order are kept. It goes on until it is ended.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: franz-go SOURCE TARGET TOPIC TARGET_TOPIC CODEC")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := copyTopic(ctx, os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func copyTopic(ctx context.Context, source, target, topic, targetTopic, codec string) error {
	compression, known := codecs[codec]
	if !known {
		return fmt.Errorf("unknown codec %q", codec)
	}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(source, ",")...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return err
	}
	defer consumer.Close()
	// Idempotent with five requests in flight, which is its default.
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(target, ",")...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(compression),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.ProducerBatchMaxBytes(1<<20),
		// Its default of 10,000 records would end most batches of small ones early.
		kgo.MaxBufferedRecords(1_000_000),
		kgo.MaxBufferedBytes(64<<20),
	)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := create(ctx, consumer, producer, topic, targetTopic); err != nil {
		return err
	}
	failed := make(chan error, 1)
	for {
		fetches := consumer.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			copied := &kgo.Record{
				Topic: targetTopic, Partition: record.Partition, Timestamp: record.Timestamp,
				Key: record.Key, Value: record.Value, Headers: record.Headers,
			}
			producer.Produce(ctx, copied, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		})
		select {
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return err
		default:
		}
	}
}

// create makes the target's topic with the source's number of partitions.
func create(ctx context.Context, source, target *kgo.Client, topic, targetTopic string) error {
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	metadata, err := ask.RequestWith(ctx, source)
	if err != nil {
		return err
	}
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.ReplicationFactor = targetTopic, -1
	for _, found := range metadata.Topics {
		if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
			return err
		}
		wanted.NumPartitions = int32(len(found.Partitions))
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(ctx, target)
	if err != nil {
		return err
	}
	for _, created := range response.Topics {
		if err := kerr.ErrorForCode(created.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}
