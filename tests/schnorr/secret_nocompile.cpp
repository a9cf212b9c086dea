// What the types of schnorr/ forbid. Each case is one mistake; case 0 is the right way.
// case 1: deleted (function|constructor)|use of deleted
// case 2: overload resolution selected deleted operator|use of deleted
// case 3: deleted (function|constructor)|use of deleted
// case 4: deleted (function|constructor)|use of deleted|implicitly-deleted copy
// case 5: Cannot format|formattable|implicit instantiation of undefined template
// .*formatter|type_is_unformattable|deleted (function|constructor) case 6: no match for
// 'operator<<'|invalid operands to binary expression case 7: deleted (function|constructor)|use of
// deleted case 8: could not convert|no known conversion|cannot convert|no viable conversion|invalid
// initialization
#include "schnorr/keys.h"
#include "schnorr/nip44.h"
#include "schnorr/secret.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>

void use(nostril::SecretBytes<32>& secret, const nostril::Keypair& keypair,
         const nostril::ConversationKey& key, const nostril::HmacKey& hmac) {
  nostril::SecretBytes<32> other;
#if CASE == 0
  other = secret.duplicate();
  const auto keypair_twin = keypair.duplicate();
  const auto key_twin = key.duplicate();
  const auto hmac_twin = hmac.duplicate();
  std::cout << fmt::format("{}", keypair.public_key().bytes);
#elif CASE == 1
  nostril::SecretBytes<32> copy = secret;
#elif CASE == 2
  other = secret;
#elif CASE == 3
  nostril::Keypair copy = keypair;
#elif CASE == 4
  nostril::ConversationKey copy = key;
#elif CASE == 5
  std::string text = fmt::format("{}", secret);
#elif CASE == 6
  std::cout << secret;
#elif CASE == 7
  nostril::HmacKey copy = hmac;
#elif CASE == 8
  const nostril::PublicKey& wrong_kind = nostril::Digest{};
#endif
}
