// Writes tests/face/vectors.json: what independent implementations make of fixed keys. Not part of a test run:
//   node make_face_vectors.mjs > ../face/vectors.json
import { createHash, hkdfSync, createCipheriv } from 'node:crypto'
import nacl from 'tweetnacl'
import { CipherSuite } from 'hpke'
import { KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM } from '@panva/hpke-noble'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { xchacha20poly1305, hchacha, xchacha20 } from '@noble/ciphers/chacha.js'
import { poly1305 } from '@noble/ciphers/_poly1305.js'
import { keccak_256 } from '@noble/hashes/sha3.js'

const hex = bytes => Buffer.from(bytes).toString('hex')
const utf8 = text => new TextEncoder().encode(text)
const join = (...parts) => new Uint8Array(Buffer.concat(parts))
const sha256 = data => new Uint8Array(createHash('sha256').update(data).digest())
const hkdf = (ikm, info) => new Uint8Array(hkdfSync('sha256', ikm, new Uint8Array(0), info, 32))
const words = bytes => new Uint32Array(new Uint8Array(bytes).buffer)

function aesGcm(key, nonce, aad, text) {
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(aad)
  return join(cipher.update(text), cipher.final(), cipher.getAuthTag())
}

function hchacha20(key) {
  const out = new Uint32Array(8)
  hchacha(words(utf8('expand 32-byte k')), words(key), new Uint32Array(4), out)
  return new Uint8Array(out.buffer)
}

// libsodium's crypto_secretbox_xchacha20poly1305, from its parts.
function secretboxXChaCha(key, nonce, text) {
  const stream = xchacha20(key, nonce, new Uint8Array(32 + text.length))
  const sealed = text.map((byte, i) => byte ^ stream[32 + i])
  return join(poly1305(sealed, stream.slice(0, 32)), sealed)
}

const seed = sha256(utf8('ed25519'))
const ephemeral = sha256(utf8('ephemeral'))
const nonce = sha256(utf8('nonce')).slice(0, 24)
const text = utf8('Grüße aus der Enklave, ' + 'x'.repeat(100))
const aad = utf8('associated')
const edPublic = ed25519.getPublicKey(seed)
const xPublic = ed25519.utils.toMontgomery(edPublic)
const shared = x25519.getSharedSecret(ephemeral, xPublic)
const point = x25519.getPublicKey(ephemeral)
const boxes = {
  x25519_aes_gcm: join(point, nonce.slice(0, 12), aesGcm(hkdf(shared, 'aci.e2ee.v2.x25519'), nonce.slice(0, 12), aad, text)),
  xchacha: join(point, nonce, xchacha20poly1305(hkdf(shared, 'ed25519_encryption'), nonce).encrypt(text)),
  nacl_xsalsa: join(point, nonce, nacl.box(text, nonce, xPublic, ephemeral)),
  nacl_xchacha: join(point, nonce, secretboxXChaCha(hchacha20(shared), nonce, text)),
  bare_xchacha: join(point, nonce, xchacha20poly1305(hchacha20(shared), nonce).encrypt(text)),
}

const ecdsaSecret = sha256(utf8('ecdsa'))
const ecdsaPublic = secp256k1.getPublicKey(ecdsaSecret, false)
const x = secp256k1.getSharedSecret(ephemeral, ecdsaPublic, true).slice(1)
const ecdsaPoint = secp256k1.getPublicKey(ephemeral, false)
boxes.ecdsa = join(ecdsaPoint, nonce.slice(0, 12), aesGcm(hkdf(x, 'ecdsa_encryption'), nonce.slice(0, 12), new Uint8Array(0), text))

function personalSign(message) {
  const bytes = utf8(message)
  const digest = keccak_256(join(utf8(`\x19Ethereum Signed Message:\n${bytes.length}`), bytes))
  const signed = secp256k1.sign(digest, ecdsaSecret, { prehash: false, format: 'recovered' })
  return join(signed.slice(1), Uint8Array.of(27 + signed[0]))
}

const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM)
const hpkeSecret = sha256(utf8('hpke'))
const hpkePublic = await suite.DeserializePublicKey(x25519.getPublicKey(hpkeSecret))
const { encapsulatedSecret, ctx } = await suite.SetupSender(hpkePublic, { info: utf8('ehbp request') })
const messages = []
for (const message of ['first', '', 'third']) messages.push({ text: message, sealed: hex(await ctx.Seal(utf8(message), aad)) })

const message = 'model:request:Grüße'
console.log(JSON.stringify({
  ed25519: { seed: hex(seed), public: hex(edPublic), x25519_public: hex(xPublic), message, signature: hex(ed25519.sign(utf8(message), seed)) },
  x25519: { shared: hex(shared) },
  ecdsa: { secret: hex(ecdsaSecret), public: hex(ecdsaPublic), address: hex(keccak_256(ecdsaPublic.slice(1)).slice(12)), message, signature: hex(personalSign(message)) },
  boxes: { text: Buffer.from(text).toString(), aad: 'associated', ...Object.fromEntries(Object.entries(boxes).map(([name, box]) => [name, hex(box)])) },
  hpke: { secret: hex(hpkeSecret), public: hex(x25519.getPublicKey(hpkeSecret)), info: 'ehbp request', aad: 'associated', enc: hex(encapsulatedSecret), messages, export_context: 'ehbp response', exported: hex(await ctx.Export(utf8('ehbp response'), 32)) },
}, null, 1))
