// spec/vectors/session.json, computed again by the second implementation.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as nip44 from 'nostr-tools/nip44'
import { finalizeEvent, getEventHash, getPublicKey, verifyEvent } from 'nostr-tools/pure'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import * as session from './session.mjs'

const vectors = JSON.parse(readFileSync(new URL('../../spec/vectors/session.json', import.meta.url)))
const keys = Object.fromEntries(['node', 'N', 'c', 's', 'payer'].map(name => {
  const secret = sha256(utf8ToBytes(name))
  return [name, { secret, public: getPublicKey(secret) }]
}))
const tagOf = (event, name) => event.tags.find(tag => tag[0] === name)

function derive() {
  const open = JSON.parse(vectors.open.text)
  const k0 = session.conversationKey(keys.c.secret, keys.N.public)
  const context = { offer: vectors.offer.id, attestation: tagOf(vectors.offer, 'attestation')[1], client: keys.c.public, encryption: keys.N.public, node: keys.s.public, request: open.request }
  return { k0, context, keys: session.sessionKeys(k0, session.conversationKey(keys.c.secret, keys.s.public), context) }
}

test('keys are SHA-256 of their names', () => {
  for (const [name, pair] of Object.entries(keys)) {
    assert.equal(vectors.keys[name].secret, bytesToHex(pair.secret))
    assert.equal(vectors.keys[name].public, pair.public)
  }
})

test('key schedule from either side', () => {
  const { k0, context, keys: derived } = derive()
  assert.equal(bytesToHex(k0), vectors.k0)
  assert.equal(bytesToHex(session.conversationKey(keys.N.secret, keys.c.public)), vectors.k0)
  assert.equal(bytesToHex(session.conversationKey(keys.s.secret, keys.c.public)), vectors.ephemeral)
  assert.equal(bytesToHex(session.sessionInfo(context)), vectors.info)
  assert.equal(vectors.info.length / 2, 193)
  assert.equal(bytesToHex(derived.clientToNode), vectors.client_to_node)
  assert.equal(bytesToHex(derived.nodeToClient), vectors.node_to_client)
  assert.equal(bytesToHex(derived.stored), vectors.stored)
  assert.equal(bytesToHex(session.storedAnswerKey(derived.stored, context.request)), vectors.stored_answer_key)
  const first = session.ratchet(derived.nodeToClient)
  assert.equal(bytesToHex(first), vectors.node_to_client_generation_1)
  assert.equal(bytesToHex(session.ratchet(first)), vectors.node_to_client_generation_2)
})

test('handshake payloads seal and open', () => {
  const { k0 } = derive()
  for (const item of [vectors.open, vectors.accept]) {
    assert.equal(nip44.decrypt(item.payload, k0), item.text)
    assert.equal(nip44.encrypt(item.text, k0, hexToBytes(item.nonce)), item.payload)
  }
  const open = JSON.parse(vectors.open.text)
  assert.equal(open.offer, vectors.offer.id)
  assert.equal(open.body_bytes, session.decodeBytes(open, 'body', 'body64').length)
  assert.equal(JSON.parse(vectors.accept.text).session, keys.s.public)
})

test('frames seal, open and keep their bytes', () => {
  const { keys: derived } = derive()
  const sides = {
    client: [new session.FrameSealer(derived.clientToNode), new session.FrameOpener(derived.clientToNode)],
    node: [new session.FrameSealer(derived.nodeToClient), new session.FrameOpener(derived.nodeToClient)]
  }
  for (const item of vectors.frames) {
    const [sealer, opener] = sides[item.from]
    assert.equal(sealer.seal(item.text, hexToBytes(item.nonce)), item.payload)
    const { frame, text } = opener.open(item.payload)
    assert.equal(text, item.text)
    assert.equal(JSON.stringify(frame), item.text, 'one spelling')
    if (frame.t === 'data' && frame.zstd === undefined) {
      const bytes = session.decodeBytes(frame)
      assert.deepEqual(Object.entries(session.encodeBytes(bytes))[0], Object.entries(frame).find(([key]) => key === 'text' || key === 'base64'))
    }
  }
})

test('two parts of a zstd stream hold their text', () => {
  const stream = new session.ZstdStream()
  const parts = vectors.frames.map(item => JSON.parse(item.text)).filter(frame => frame.zstd !== undefined)
  assert.equal(parts.length, 2)
  assert.equal(parts.map(frame => Buffer.from(stream.read(Buffer.from(frame.zstd, 'base64'))).toString()).join(''), vectors.zstd_text)
})

test('a quiet frame is padded to its size', () => {
  const { keys: derived } = derive()
  const { text, payload, nonce } = vectors.quiet
  assert.equal(Buffer.byteLength(text), 4096)
  const { pad, ...frame } = JSON.parse(text)
  assert.match(pad, /^0+$/)
  assert.equal(session.pad(JSON.stringify(frame)), text)
  assert.equal(nip44.encrypt(text, derived.nodeToClient, hexToBytes(nonce)), payload)
})

test('a stored answer is picked up from events in any order, among forged ones', () => {
  const { k0, context } = derive()
  assert.ok(k0)
  const event = (item, author = keys.s) => finalizeEvent({ kind: session.KIND.storedFrame, created_at: 1, tags: [['p', keys.c.public], ['expiration', '2']], content: item.payload }, author.secret)
  const asked = { secret: keys.c.secret, ...context }
  const events = vectors.stored_frames.map(item => event(item)).reverse()
  const answer = session.readStoredAnswer(asked, [event(vectors.stored_frames[0], keys.payer), ...events])
  assert.deepEqual(answer.head, { status: 200, type: 'text/event-stream' })
  assert.equal(answer.body.toString(), vectors.zstd_text)
  assert.ok(verifyEvent({ ...answer.record }))
  for (const left_out of [0, 1, 2]) assert.equal(session.readStoredAnswer(asked, events.filter((_, i) => i !== left_out)), undefined)
})

test('a changed payload does not open', () => {
  const { keys: derived } = derive()
  const payload = vectors.frames[1].payload
  for (const at of [4, 60, payload.length - 8]) {
    const changed = payload.slice(0, at) + (payload[at] === 'A' ? 'B' : 'A') + payload.slice(at + 1)
    assert.throws(() => new session.FrameOpener(derived.nodeToClient).open(changed))
  }
  assert.throws(() => new session.FrameOpener(derived.clientToNode).open(payload))
})

test('events have their ids and signatures', () => {
  const events = [vectors.offer, ...vectors.statements.flatMap(s => [s.record, s.receipt])]
  for (const event of events) {
    assert.equal(getEventHash(event), event.id)
    assert.ok(verifyEvent({ ...event }))
  }
  assert.equal(vectors.offer.pubkey, keys.node.public)
})

test('channel id, running hash and receipts follow from the records', () => {
  const { signer, node, salt, asset, id, start } = vectors.channel
  const book = new session.PayerChannel({ signer, node, salt, asset })
  assert.equal(book.id, id)
  assert.equal(book.hash, start)
  for (const { record, running_hash, receipt } of vectors.statements) {
    const tags = book.pay(session.readRecord(record), session.pricesOf(vectors.offer))
    assert.equal(book.hash, running_hash)
    assert.deepEqual(receipt.tags, tags)
    assert.equal(receipt.content, '')
    assert.equal(receipt.pubkey, signer)
  }
})

test('the book refuses a record that is wrong by one', () => {
  const { signer, node, salt, asset } = vectors.channel
  const prices = session.pricesOf(vectors.offer)
  for (const change of [r => { r.spent += 1n }, r => { r.cost += 1n }, r => { r.remainder += 1n }, r => { r.usage.output += 2n }, r => { r.n = 2n }, r => { r.previous = r.id }]) {
    const record = session.readRecord(vectors.statements[0].record)
    change(record)
    assert.throws(() => new session.PayerChannel({ signer, node, salt, asset }).pay(record, prices), /refused/)
  }
})

test('meters', () => {
  for (const meter of vectors.meters) {
    const prices = { input: BigInt(meter.input), cached: BigInt(meter.cached), output: BigInt(meter.output) }
    let micro = 0n
    for (const { usage, spent, remainder } of meter.steps) {
      const [input, cached, output] = usage.map(BigInt)
      micro += session.charge(prices, { input, cached, output })
      assert.equal(session.spentOf(micro).toString(), spent)
      assert.equal(micro % 1000000n, BigInt(remainder))
    }
  }
})

// A node in a few lines, by the same spec: the client class must finish against it.
test('SessionClient completes a request against a minimal node, with loss', () => {
  const body = 'x'.repeat(9000)
  const answer = Buffer.from('data: grüße\n\n'.repeat(3000))
  const channel = new session.PayerChannel(vectors.channel)
  const client = new session.SessionClient(vectors.offer, {
    body, payment: { signer: keys.payer.public, salt: vectors.channel.salt, channel, sign: template => finalizeEvent(template, keys.payer.secret) }
  })
  const [first] = client.takeEvents()
  const k0 = session.conversationKey(keys.N.secret, first.pubkey)
  const open = JSON.parse(nip44.decrypt(first.content, k0))
  const derived = session.sessionKeys(k0, session.conversationKey(keys.s.secret, first.pubkey),
    { offer: open.offer, attestation: open.attestation, client: first.pubkey, encryption: keys.N.public, node: keys.s.public, request: open.request })
  const sealer = new session.FrameSealer(derived.nodeToClient)
  const opener = new session.FrameOpener(derived.clientToNode)
  const event = content => finalizeEvent({ kind: 21472, created_at: 1800000000, tags: [['p', first.pubkey]], content }, keys.s.secret)
  client.onEvent(event(nip44.encrypt(JSON.stringify({ t: 'accept', n: 0, request: open.request, session: keys.s.public, features: [], queue: 0, credit: 262144 }), k0)))

  let got = session.decodeBytes(open, 'body', 'body64')
  const upFrames = () => client.takeEvents().map(e => opener.open(e.content).frame)
  for (const frame of upFrames()) if (frame.t === 'data') got = Buffer.concat([got, session.decodeBytes(frame)])
  assert.equal(Buffer.from(got).toString(), body)

  const texts = []
  for (let at = 0; at < answer.length; at += 1000) {
    const head = at === 0 ? { status: 200, type: 'text/event-stream' } : {}
    texts.push(JSON.stringify({ t: 'data', n: texts.length + 1, ...head, ...session.encodeBytes(answer.subarray(at, at + 1000)) }))
  }
  const price = session.pricesOf(vectors.offer)
  const micro = session.charge(price, { input: 10n, cached: 0n, output: 20n })
  const record = finalizeEvent({
    kind: 1471, created_at: 1800000001, content: '', tags: [['v', '1'], ['request', open.request],
      ['request-hash', bytesToHex(sha256(utf8ToBytes(body)))], ['response-hash', bytesToHex(sha256(answer))], ['offer', open.offer],
      ['attestation', open.attestation], ['model', 'qwen3-32b'], ['engine', 'x', '1'], ['usage', '10', '0', '20', '0'],
      ['channel', vectors.channel.id, '1'], ['cost', session.spentOf(micro).toString(), 'msat'],
      ['spent', session.spentOf(micro).toString(), (micro % 1000000n).toString()], ['status', 'ok', 'stop'], ['time', '1', '2', '3']]
  }, keys.node.secret)
  texts.push(JSON.stringify({ t: 'end', n: texts.length + 1, record }))
  // Odd frames are lost at first; then all come, the last first.
  texts.forEach((text, index) => { if (index % 2 === 0) client.onEvent(event(sealer.seal(text))) })
  const ack = upFrames().filter(f => f.t === 'ack').at(-1)
  assert.ok(ack.missing.length > 3)
  for (const text of texts.toReversed()) client.onEvent(event(sealer.seal(text)))
  assert.equal(client.failed, undefined)
  assert.ok(client.ended)
  assert.deepEqual(client.response, answer)
  const receipt = upFrames().find(f => f.t === 'receipt').receipt
  assert.ok(verifyEvent(receipt))
  assert.deepEqual(receipt.tags[1], ['amount', session.spentOf(micro).toString()])
})
