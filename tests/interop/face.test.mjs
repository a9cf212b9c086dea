// Foreign clients against face/: npm ehbp, and field encryption as other people's verifiers do it.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import nacl from 'tweetnacl'
import { Identity } from 'ehbp'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { keccak_256 } from '@noble/hashes/sha3.js'

const tool = `${process.env.NOSTRIL_BIN_DIR}/face_tool`
const hex = bytes => Buffer.from(bytes).toString('hex')
const unhex = text => new Uint8Array(Buffer.from(text, 'hex'))
const utf8 = text => new TextEncoder().encode(text)
const sha256 = data => new Uint8Array(createHash('sha256').update(data).digest())
const hkdf = (ikm, info) => new Uint8Array(hkdfSync('sha256', ikm, new Uint8Array(0), info, 32))

function serve(call) {
  const run = spawnSync(tool, { input: JSON.stringify(call) + '\n', encoding: 'utf8', timeout: 20_000 })
  assert.equal(run.status, 0, run.stderr)
  return JSON.parse(run.stdout)
}

const clientSeed = sha256(utf8('client'))
const clientEd = ed25519.getPublicKey(clientSeed)
const clientX = ed25519.utils.toMontgomerySecret(clientSeed)
const nodeX = ed25519.utils.toMontgomery(ed25519.getPublicKey(sha256(utf8('ed25519'))))
const nodePoint = secp256k1.getPublicKey(sha256(utf8('ecdsa')), false)

const naclBox = {
  algo: 'ed25519', version: '1', key: hex(clientEd),
  seal(text) {
    const pair = nacl.box.keyPair()
    const nonce = randomBytes(24)
    return hex(Buffer.concat([pair.publicKey, nonce, nacl.box(utf8(text), nonce, nodeX, pair.secretKey)]))
  },
  open(sealed) {
    const bytes = unhex(sealed)
    return Buffer.from(nacl.box.open(bytes.slice(56), bytes.slice(32, 56), bytes.slice(0, 32), clientX)).toString()
  },
}

const version2 = {
  algo: 'ed25519', version: '2', key: hex(clientEd),
  seal(text) {
    const secret = randomBytes(32)
    const nonce = randomBytes(24)
    const key = hkdf(x25519.getSharedSecret(secret, nodeX), 'ed25519_encryption')
    return hex(Buffer.concat([x25519.getPublicKey(secret), nonce, xchacha20poly1305(key, nonce).encrypt(utf8(text))]))
  },
  open(sealed) {
    const bytes = unhex(sealed)
    const key = hkdf(x25519.getSharedSecret(clientX, bytes.slice(0, 32)), 'ed25519_encryption')
    return Buffer.from(xchacha20poly1305(key, bytes.slice(32, 56)).decrypt(bytes.slice(56))).toString()
  },
}

const ecdsa = {
  algo: 'ecdsa', version: '1', key: hex(secp256k1.getPublicKey(clientSeed, false).slice(1)),
  seal(text) {
    const secret = secp256k1.utils.randomSecretKey()
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', hkdf(secp256k1.getSharedSecret(secret, nodePoint).slice(1), 'ecdsa_encryption'), nonce)
    return hex(Buffer.concat([secp256k1.getPublicKey(secret, false), nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]))
  },
  open(sealed) {
    const bytes = unhex(sealed)
    const cipher = createDecipheriv('aes-256-gcm', hkdf(secp256k1.getSharedSecret(clientSeed, bytes.slice(0, 65)).slice(1), 'ecdsa_encryption'), bytes.slice(65, 77))
    cipher.setAuthTag(bytes.slice(-16))
    return Buffer.concat([cipher.update(bytes.slice(77, -16)), cipher.final()]).toString()
  },
}

for (const [name, client] of Object.entries({ naclBox, version2, ecdsa })) {
  test(`field encryption: ${name}`, () => {
    const body = JSON.stringify({ model: 'demo-model', messages: [{ role: 'user', content: client.seal('Grüße') }] })
    const answer = JSON.stringify({ id: 'c', choices: [{ index: 0, message: { role: 'assistant', content: 'Hallo' } }] })
    const { algo, key, version } = client
    const reply = serve({ do: 'fields', algo, key, version, body, answer })
    assert.equal(JSON.parse(reply.plain).messages[0].content, 'Grüße')
    assert.equal(client.open(JSON.parse(reply.answer).choices[0].message.content), 'Hallo')

    const { text, signature, signing_address: address } = reply.signature
    assert.equal(text, `demo-model:${hex(sha256(body))}:${hex(sha256(reply.answer))}`)
    if (algo === 'ed25519') {
      assert.ok(ed25519.verify(unhex(signature), utf8(text), unhex(address)))
    } else {
      const digest = keccak_256(utf8(`\x19Ethereum Signed Message:\n${text.length}${text}`))
      const bytes = unhex(signature.slice(2))
      const recovered = secp256k1.recoverPublicKey(Uint8Array.of(bytes[64] - 27, ...bytes.slice(0, 64)), digest, { prehash: false })
      const point = secp256k1.Point.fromBytes(recovered).toBytes(false)
      assert.equal(address, '0x' + hex(keccak_256(point.slice(1)).slice(12)))
    }
  })
}

test('ehbp: key configuration, request and streamed answer', async () => {
  const identity = await Identity.unmarshalPublicConfig(unhex(serve({ do: 'config' }).config))
  const plain = JSON.stringify({ prompt: 'Grüße' })
  const { request, context } = await identity.encryptRequestWithContext(
    new Request('http://127.0.0.1/v1/chat/completions', { method: 'POST', body: plain }))
  const header = request.headers.get('Ehbp-Encapsulated-Key')
  const body = new Uint8Array(await request.arrayBuffer())
  assert.ok(!Buffer.from(body).includes('prompt'))
  const parts = ['data: one\n\n', '', 'data: two ü\n\n', 'x'.repeat(70_000)]
  const reply = serve({ do: 'ehbp', header, body: hex(body), answer: parts })
  assert.equal(reply.text, plain)
  const response = new Response(unhex(reply.answer), { headers: { 'Ehbp-Response-Nonce': reply.nonce } })
  const opened = await identity.decryptResponseWithContext(response, context)
  assert.equal(await opened.text(), parts.join(''))

  const changed = body.slice()
  changed[changed.length - 1] ^= 1
  assert.equal(serve({ do: 'ehbp', header, body: hex(changed), answer: [] }).error, '422')
  const other = await Identity.fromPublicKeyHex(hex(x25519.getPublicKey(clientSeed)))
  const stale = await other.encryptRequestWithContext(new Request('http://127.0.0.1/', { method: 'POST', body: plain }))
  const staleBody = new Uint8Array(await stale.request.arrayBuffer())
  assert.equal(serve({ do: 'ehbp', header: stale.request.headers.get('Ehbp-Encapsulated-Key'), body: hex(staleBody), answer: [] }).error, '422')
})
