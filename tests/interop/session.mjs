// A second implementation of the inference session, written from spec/ alone: 05-session.md,
// 06-record.md, 07-receipt.md. nostr-tools gives events and NIP-44, @noble/hashes the HKDF.
// SessionClient is transport-free: events in, events out; talk to a real node by publishing
// what takeEvents() gives and feeding what the subscription {kinds:[21472], "#p":[client]} brings.
import * as nip44 from 'nostr-tools/nip44'
import { Decompress } from 'fzstd'
import { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } from 'nostr-tools/pure'
import { hkdf, expand } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, hexToBytes, randomBytes, utf8ToBytes } from '@noble/hashes/utils.js'

export const KIND = { frame: 21472, storedFrame: 1470, record: 1471, receipt: 1472, offer: 31470 }
export const RATCHET_FRAMES = 1024
const DATA_BYTES_MAX = 7168
const OPEN_BODY_BYTES_MAX = 5120
const QUIET_TEXT_BYTES = 4096
const QUIET_DATA_BYTES_MAX = 2688
export const QUIET_PERIOD_MS = 200
const UNNUMBERED = new Set(['progress', 'ack', 'credit', 'resume'])

// ---- Key schedule: 05-session.md ---------------------------------------------------------------

export const conversationKey = (secret, pubkeyHex) => nip44.getConversationKey(secret, pubkeyHex)

export function sessionInfo({ offer, attestation, client, encryption, node, request }) {
  return concatBytes(utf8ToBytes('nostril/session/1'),
    ...[offer, attestation, client, encryption, node, request].map(hexToBytes))
}

export function sessionKeys(k0, ephemeral, context) {
  const all = hkdf(sha256, ephemeral, k0, sessionInfo(context), 96)
  return { clientToNode: all.slice(0, 32), nodeToClient: all.slice(32, 64), stored: all.slice(64) }
}

export const storedAnswerKey = (stored, request) =>
  expand(sha256, stored, concatBytes(utf8ToBytes('nostril/stored/1'), hexToBytes(request)), 32)

export const ratchet = key => expand(sha256, key, utf8ToBytes('nostril/ratchet/1'), 32)

// ---- Channels: 06-record.md, 07-receipt.md -----------------------------------------------------

export function taggedHash(tag, ...parts) {
  const t = sha256(utf8ToBytes(tag))
  return sha256(concatBytes(t, t, ...parts))
}

function bigEndian(value, bytes) {
  return hexToBytes(BigInt(value).toString(16).padStart(bytes * 2, '0'))
}

export const channelId = ({ signer, node, salt, asset }) =>
  bytesToHex(taggedHash('nostril/channel/unsettled/1', hexToBytes(signer), hexToBytes(node), hexToBytes(salt), utf8ToBytes(asset)))

export const firstRunningHash = channel => bytesToHex(taggedHash('nostril/channel/start/1', hexToBytes(channel)))

export function nextRunningHash(previous, { n, id, cost, input, output }) {
  return bytesToHex(taggedHash('nostril/channel/chain/1', hexToBytes(previous), bigEndian(n, 8),
    hexToBytes(id), bigEndian(cost, 16), bigEndian(input, 8), bigEndian(output, 8)))
}

const MILLION = 1000000n

/** Millionths of a base unit; prices are BigInt by unit, cached falls back to input. */
export function charge(prices, { input, cached, output, milliseconds = 0n }) {
  const p = unit => prices[unit] ?? 0n
  return (input - cached) * p('input') + cached * (prices.cached ?? p('input')) + output * p('output') +
    MILLION * ((milliseconds + 999n) / 1000n * p('second') + p('request'))
}

export const spentOf = micro => (micro + MILLION - 1n) / MILLION

export function readRecord(event) {
  if (event.kind !== KIND.record || event.content !== '' || !verifyEvent(event)) throw new Error('no record')
  const tag = name => {
    const found = event.tags.filter(t => t[0] === name)
    if (found.length !== 1) throw new Error(`record: ${found.length} tags ${name}`)
    return found[0]
  }
  const [, input, cached, output, milliseconds] = tag('usage').map((x, i) => i ? BigInt(x) : x)
  const previous = event.tags.filter(t => t[0] === 'previous')
  return {
    id: event.id, node: event.pubkey, request: tag('request')[1], requestHash: tag('request-hash')[1],
    responseHash: tag('response-hash')[1], offer: tag('offer')[1], attestation: tag('attestation')[1],
    model: tag('model')[1], channel: tag('channel')[1], n: BigInt(tag('channel')[2]),
    previous: previous.length ? previous[0][1] : null, cost: BigInt(tag('cost')[1]), asset: tag('cost')[2],
    spent: BigInt(tag('spent')[1]), remainder: BigInt(tag('spent')[2]), status: tag('status')[1],
    finish: tag('status')[2], usage: { input, cached, output, milliseconds }
  }
}

/** The payer's book: throws unless the record is exactly what price and history say. */
export class PayerChannel {
  constructor(terms, budget = 2n ** 96n - 1n) {
    this.terms = terms
    this.id = channelId(terms)
    this.hash = firstRunningHash(this.id)
    this.budget = budget
    this.n = 0n
    this.micro = 0n
    this.last = null
    this.stated = new Map()
    this.sessionCharged = false
  }

  /** Tags of the receipt to sign, or null when nothing is owed. */
  pay(record, prices) {
    const must = (ok, what) => { if (!ok) throw new Error(`refused: ${what}`) }
    must(record.node === this.terms.node, 'node')
    must(record.channel === this.id && record.asset === this.terms.asset, 'channel')
    must(record.n === this.n + 1n && record.previous === this.last, 'order')
    const { usage } = record
    must(usage.cached <= usage.input, 'usage')
    const charged = charge(prices, usage)
    const before = this.stated.get(record.request) ?? 0n
    must(charged >= before, 'usage fell')
    const micro = this.micro + charged - before + (this.sessionCharged ? 0n : MILLION * (prices.session ?? 0n))
    must(record.spent === spentOf(micro) && record.remainder === micro % MILLION, 'spent')
    must(record.cost === record.spent - spentOf(this.micro), 'cost')
    must(record.spent <= this.budget, 'budget')
    this.sessionCharged = true
    if (record.status === 'partial') this.stated.set(record.request, charged)
    else this.stated.delete(record.request)
    this.micro = micro
    this.n = record.n
    this.last = record.id
    this.hash = nextRunningHash(this.hash, { n: record.n, id: record.id, cost: record.cost, input: usage.input, output: usage.output })
    if (record.spent === 0n) return null
    return [['d', this.id], ['amount', record.spent.toString()], ['x', this.hash]]
  }
}

export function pricesOf(offerEvent) {
  const prices = {}
  for (const [name, unit, amount] of offerEvent.tags) if (name === 'price') prices[unit] = BigInt(amount)
  return prices
}

// ---- Frames ------------------------------------------------------------------------------------

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** {text: …} or {base64: …}, as the keys are named by the frame. */
export function encodeBytes(bytes, textKey = 'text', base64Key = 'base64') {
  try {
    const text = utf8.decode(bytes)
    if (Buffer.byteLength(JSON.stringify(text)) <= Math.ceil(bytes.length / 3) * 4 + 10) return { [textKey]: text }
  } catch { /* not UTF-8 */ }
  return { [base64Key]: Buffer.from(bytes).toString('base64') }
}

export function decodeBytes(frame, textKey = 'text', base64Key = 'base64') {
  if (typeof frame[textKey] === 'string') return utf8ToBytes(frame[textKey])
  return Uint8Array.from(Buffer.from(frame[base64Key], 'base64'))
}

/** The zstd stream of one direction: parts in, in order, what each holds out. */
export class ZstdStream {
  constructor() {
    this.out = []
    this.stream = new Decompress(bytes => this.out.push(Uint8Array.from(bytes)))
  }

  read(part) {
    this.stream.push(part, false)
    const bytes = concatBytes(...this.out.splice(0))
    if (bytes.length === 0 || bytes.length > DATA_BYTES_MAX) throw new Error('bad part of a zstd stream')
    return bytes
  }
}

/** Body bytes of a data frame. */
const dataOf = (frame, stream) =>
  frame.zstd === undefined ? decodeBytes(frame) : stream.read(Uint8Array.from(Buffer.from(frame.zstd, 'base64')))

/** A frame's text with a last member that makes it a multiple of the unit. */
export function pad(text, unit = QUIET_TEXT_BYTES) {
  const opened = `${text.slice(0, -1)},"pad":"`
  const least = Buffer.byteLength(opened) + 2
  return `${opened}${'0'.repeat(Math.ceil(least / unit) * unit - least)}"}`
}

/** Picks up a finished answer: `events` of kind 1470 to the client's key, in any order, among others. Nothing when it is not whole. */
export function readStoredAnswer({ secret, offer, encryption, attestation, request }, events) {
  const client = getPublicKey(secret)
  const k0 = conversationKey(secret, encryption)
  const frames = new Map()
  for (const event of events) {
    if (event.kind !== KIND.storedFrame) continue
    const { stored } = sessionKeys(k0, conversationKey(secret, event.pubkey), { offer, attestation, client, encryption, node: event.pubkey, request })
    try {
      const frame = JSON.parse(nip44.decrypt(event.content, storedAnswerKey(stored, request)))
      frames.set(frame.n, frame)
    } catch { /* of somebody who knows the address */ }
  }
  const end = frames.get(frames.size)
  if (end?.t !== 'end') return undefined
  const stream = new ZstdStream()
  const chunks = []
  for (let n = 1; n < frames.size; n++) chunks.push(dataOf(frames.get(n), stream))
  const { status, type } = frames.get(1)
  return { head: { status, type }, body: Buffer.concat(chunks), record: end.record }
}

/** One direction's keys by generation; the newest two are kept. */
class KeyChain {
  constructor(key) { this.keys = [key]; this.generation = 0 }

  at(generation) {
    if (generation === this.generation + 1) return ratchet(this.keys[0])
    return generation > this.generation ? undefined : this.keys[this.generation - generation]
  }

  advance(generation) {
    if (generation !== this.generation + 1) return
    this.keys = [ratchet(this.keys[0]), this.keys[0]]
    this.generation = generation
  }
}

export class FrameSealer {
  constructor(key) { this.chain = new KeyChain(key) }

  seal(text, nonce = randomBytes(32)) {
    const generation = Math.floor(JSON.parse(text).n / RATCHET_FRAMES)
    this.chain.advance(generation)
    return nip44.encrypt(text, this.chain.at(generation), nonce)
  }
}

export class FrameOpener {
  constructor(key) { this.chain = new KeyChain(key) }

  open(payload) {
    const now = this.chain.generation
    for (const generation of [now, now + 1, now - 1]) {
      const key = generation < 0 ? undefined : this.chain.at(generation)
      if (!key) continue
      let text
      try { text = nip44.decrypt(payload, key) } catch { continue }
      const frame = JSON.parse(text)
      if (Math.floor(frame.n / RATCHET_FRAMES) !== generation) throw new Error('number of another key')
      this.chain.advance(generation)
      return { frame, text }
    }
    throw new Error('does not open')
  }
}

// ---- Client ------------------------------------------------------------------------------------

/**
 * One request and its answer. The caller has verified the offer's attestation.
 *   const session = new SessionClient(offerEvent, { body, payment })
 *   publish(session.takeEvents()); on each event: session.onEvent(event); publish(session.takeEvents())
 *   every second: session.onTimer(); done when session.ended or session.failed is set.
 */
export class SessionClient {
  constructor(offerEvent, { method = 'POST', path = '/v1/chat/completions', request = bytesToHex(randomBytes(16)), headers = [['content-type', 'application/json']], body = new Uint8Array(), durable = false, features = ['zstd'], payment = null, onData = () => {} }) {
    const tag = name => offerEvent.tags.find(t => t[0] === name)
    this.offer = offerEvent
    this.secret = generateSecretKey()
    this.client = getPublicKey(this.secret)
    this.N = tag('key')[1]
    this.attestation = tag('attestation')[1]
    this.k0 = conversationKey(this.secret, this.N)
    this.request = request // the same again: the same answer, charged once
    this.body = typeof body === 'string' ? utf8ToBytes(body) : body
    this.bodySent = Math.min(this.body.length, OPEN_BODY_BYTES_MAX)
    this.payment = payment // { signer, salt, sign(template) -> event, channel: PayerChannel }
    this.onData = onData
    this.features = features // asked for; from the accept on those that apply
    this.zstd = new ZstdStream()
    this.queue = [] // quiet mode: texts that wait for their beat
    this.window = 262144
    this.events = []
    this.sent = new Map() // numbered frames that are not acknowledged
    this.lastSent = 0
    this.upto = 0
    this.held = new Map()
    this.chunks = []
    this.responseBytes = 0
    this.creditToSend = 0
    this.bodyDataSent = 0
    this.openText = JSON.stringify({
      t: 'open', n: 0, request: this.request, offer: offerEvent.id, attestation: this.attestation, method, path, headers,
      body_bytes: this.body.length, ...encodeBytes(this.body.slice(0, this.bodySent), 'body', 'body64'), durable, features,
      ...(payment ? { signer: payment.signer, salt: payment.salt } : {}), credit: this.window
    })
    this.post(this.N, nip44.encrypt(this.openText, this.k0))
  }

  post(to, payload) {
    this.events.push(finalizeEvent({ kind: KIND.frame, created_at: Math.floor(Date.now() / 1000), tags: [['p', to]], content: payload }, this.secret))
  }

  takeEvents() { return this.events.splice(0) }

  get response() { return Buffer.concat(this.chunks) }

  send(frame) {
    const numbered = !UNNUMBERED.has(frame.t)
    const text = JSON.stringify({ t: frame.t, n: numbered ? ++this.lastSent : this.lastSent, ...frame.fields })
    if (numbered) this.sent.set(this.lastSent, text)
    this.put(text)
  }

  get quiet() { return this.node !== undefined && this.features.includes('quiet') }

  put(text) {
    if (!this.quiet) return this.post(this.node, this.sealer.seal(text))
    if (!this.queue.includes(text)) this.queue.push(text)
  }

  /** Quiet mode: to be called every QUIET_PERIOD_MS. */
  onBeat() {
    if (!this.quiet || this.failed) return
    if (this.queue.length === 0) this.ack()
    this.post(this.node, this.sealer.seal(pad(this.queue.shift())))
  }

  ack(type = 'ack') {
    const missing = []
    const numbers = [...this.held.keys()].sort((a, b) => a - b)
    let next = this.upto + 1
    for (const n of numbers) {
      if (n > next && missing.length < 32) missing.push([next, n - 1])
      next = n + 1
    }
    this.send({ t: type, fields: { upto: this.upto, missing, credit: this.responseBytes + this.window } })
  }

  cancel(reason) { this.send({ t: 'cancel', fields: { reason } }) }

  onTimer() {
    if (this.failed) return
    if (!this.node) return this.ended ? undefined : this.post(this.N, nip44.encrypt(this.openText, this.k0))
    for (const text of [...this.sent.values()].slice(0, 8)) this.put(text)
    this.ack()
  }

  onEvent(event) {
    if (this.failed || event.kind !== KIND.frame) return
    if (!this.node) return this.onReply(event)
    if (event.pubkey !== this.node) return
    let frame
    try { frame = this.opener.open(event.content).frame } catch { return }
    if (UNNUMBERED.has(frame.t)) return this.onUnnumbered(frame)
    if (frame.n > this.upto && frame.n <= this.upto + 256) this.held.set(frame.n, frame)
    while (this.held.has(this.upto + 1)) {
      const next = this.held.get(++this.upto)
      this.held.delete(this.upto)
      try { this.onFrame(next) } catch (error) { this.failed = error; return }
    }
    if (!this.quiet) this.ack() // else with the next beat
  }

  onReply(event) {
    let frame
    try { frame = JSON.parse(nip44.decrypt(event.content, this.k0)) } catch { return }
    if (frame.t === 'error') { this.error = frame; this.ended = true; return }
    if (frame.t !== 'accept' || frame.session !== event.pubkey || frame.request !== this.request) { this.failed = new Error('bad accept'); return }
    if (!frame.features.every(name => this.features.includes(name))) { this.failed = new Error('a feature that was not asked for'); return }
    this.features = frame.features
    this.node = event.pubkey
    const keys = sessionKeys(this.k0, conversationKey(this.secret, this.node),
      { offer: this.offer.id, attestation: this.attestation, client: this.client, encryption: this.N, node: this.node, request: this.request })
    this.sealer = new FrameSealer(keys.clientToNode)
    this.opener = new FrameOpener(keys.nodeToClient)
    this.creditToSend = frame.credit
    this.sendBody()
  }

  sendBody() {
    while (this.bodySent < this.body.length && this.bodyDataSent < this.creditToSend) {
      const count = Math.min(this.quiet ? QUIET_DATA_BYTES_MAX : DATA_BYTES_MAX, this.body.length - this.bodySent, this.creditToSend - this.bodyDataSent)
      this.send({ t: 'data', fields: encodeBytes(this.body.slice(this.bodySent, this.bodySent + count)) })
      this.bodySent += count
      this.bodyDataSent += count
    }
  }

  onUnnumbered(frame) {
    if (frame.t === 'progress') { this.progress = frame; return }
    this.creditToSend = Math.max(this.creditToSend, frame.credit)
    if (frame.t !== 'credit') {
      for (const n of [...this.sent.keys()]) if (n <= frame.upto) this.sent.delete(n)
      for (const [first, last] of frame.missing) {
        for (const [n, text] of this.sent) if (n >= first && n <= last) this.put(text)
      }
    }
    if (frame.ask) this.ack()
    this.sendBody()
  }

  onFrame(frame) {
    if (frame.t === 'data') {
      if (frame.status !== undefined) this.head = { status: frame.status, type: frame.type }
      const bytes = dataOf(frame, this.zstd)
      this.responseBytes += bytes.length
      this.chunks.push(bytes)
      this.onData(bytes)
    } else if (frame.t === 'checkpoint') {
      if (frame.hash !== bytesToHex(sha256(this.response))) throw new Error('checkpoint differs')
    } else if (frame.t === 'need-receipt') {
      this.settle(frame.record)
    } else if (frame.t === 'end') {
      this.record = this.settle(frame.record)
      this.ended = true
    } else if (frame.t === 'error') {
      this.error = frame
      if (frame.final) this.ended = true
    } else throw new Error(`unexpected ${frame.t}`)
  }

  settle(event) {
    const record = readRecord(event)
    const must = (ok, what) => { if (!ok) throw new Error(`record: ${what}`) }
    must(record.node === this.offer.pubkey, 'author')
    must(record.offer === this.offer.id && record.attestation === this.attestation, 'offer')
    must(record.request === this.request, 'request')
    must(record.requestHash === bytesToHex(sha256(this.body)), 'request hash')
    must(record.responseHash === bytesToHex(sha256(this.response)), 'response hash')
    if (this.payment) {
      const tags = this.payment.channel.pay(record, pricesOf(this.offer))
      if (tags) {
        const receipt = this.payment.sign({ kind: KIND.receipt, created_at: Math.floor(Date.now() / 1000), tags, content: '' })
        this.send({ t: 'receipt', fields: { receipt } })
      }
    }
    return record
  }
}
