//! EndTxn (`KafkaApis.handleEndTxnRequest`, `TransactionCoordinator.endTransaction`): markers in all partitions of the transaction,
//! and its offsets count or are forgotten. From version 5 on every end raises the producer's epoch (KIP-890).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::{Context, code, fenced_as_known};
use crate::coordinator::transactions::{Producer, TransactionVersion};

pub(super) fn handle(request: EndTxnRequest, context: &mut Context<'_>) -> EndTxnResponse {
    let ended = end(&request, context).map_err(|error| fenced_as_known(error, context.version >= 2));
    let response = EndTxnResponse::default().with_error_code(code(&ended));
    match ended {
        Ok(producer) if context.version >= RAISES_EPOCH_FROM => {
            response.with_producer_id(ProducerId(producer.id)).with_producer_epoch(producer.epoch)
        }
        _ => response,
    }
}

fn end(request: &EndTxnRequest, context: &mut Context<'_>) -> Result<Producer, ResponseError> {
    let id = &request.transactional_id;
    context.check_transactional_id(id)?;
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let version =
        if context.version >= RAISES_EPOCH_FROM { TransactionVersion::Two } else { TransactionVersion::One };
    let state = &mut *context.state;
    let now_ms = state.now_ms();
    let ids = &mut state.producer_ids;
    let ended = state.transactions.end(id, producer, request.committed, version, ids, now_ms);
    state.write_markers();
    ended
}

const RAISES_EPOCH_FROM: i16 = 5;
