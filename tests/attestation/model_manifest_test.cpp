#include "attestation/model_manifest.h"

#include "attestation/pack.h"
#include "base/hex.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <functional>

namespace nostril::attestation {
namespace {

using test::kNow;

Bytes pattern(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 31 + i / 4096);
  return out;
}

/// RFC 6962, section 2.1, as it is written: the slow twin.
Digest tree_hash(const std::vector<Bytes>& leaves, std::size_t first, std::size_t count) {
  if (count == 0) return sha256(ByteSpan());
  const auto marked = [](std::uint8_t mark, ByteSpan a, ByteSpan b) {
    Bytes joined = {mark};
    joined.insert(joined.end(), a.begin(), a.end());
    joined.insert(joined.end(), b.begin(), b.end());
    return sha256(joined);
  };
  if (count == 1) return marked(0, leaves.at(first), {});
  std::size_t left = 1;
  while (left * 2 < count) left *= 2;
  const Digest l = tree_hash(leaves, first, left);
  const Digest r = tree_hash(leaves, first + left, count - left);
  return marked(1, l.bytes, r.bytes);
}

TEST(MerkleRoot, IsRfc6962sForEveryNumberOfLeaves) {
  std::vector<Bytes> leaves;
  MerkleRoot tree;
  for (std::size_t i = 0; i < 70; ++i) {
    EXPECT_EQ(tree.root(), tree_hash(leaves, 0, leaves.size())) << i;
    leaves.push_back(pattern(i));
    tree.add(leaf_digest(leaves.back()));
  }
}

/// Leaf `index` of a file of `count` leaves, the last of them 17 bytes.
struct Proven {
  explicit Proven(std::uint64_t count, std::size_t index) {
    leaf = index + 1 == count ? Bytes(17, 9) : Bytes(kManifestLeafBytes, 7);
    std::vector<Digest> leaves;
    for (std::size_t i = 0; i < count; ++i) leaves.push_back(leaf_digest(pattern(i)));
    leaves[index] = leaf_digest(leaf);
    MerkleRoot tree;
    for (const Digest& digest : leaves) tree.add(digest);
    proof = {{"model.bin", (count - 1) * kManifestLeafBytes + 17, tree.root()},
             index,
             leaf_path(leaves, index)};
  }

  LeafProof proof;
  Bytes leaf;
};

TEST(LeafProof, ShowsEachLeafOfEverySize) {
  for (std::uint64_t count = 1; count <= 20; ++count) {
    for (std::size_t index = 0; index < count; ++index) {
      const Proven proven(count, index);
      EXPECT_TRUE(is_leaf(proven.proof, proven.leaf)) << index << " of " << count;
      const std::string text = print_leaf_proof(proven.proof);
      EXPECT_LE(text.size(), kLeafProofTextBytesMax);
      EXPECT_EQ(parse_leaf_proof(text), proven.proof);
    }
  }
}

TEST(LeafProof, RefusesWhateverIsChanged) {
  const Proven proven(11, 4);
  const auto refused = [&proven](const std::function<void(LeafProof&, Bytes&)>& change) {
    LeafProof proof = proven.proof;
    Bytes leaf = proven.leaf;
    change(proof, leaf);
    return !is_leaf(proof, leaf);
  };
  EXPECT_TRUE(refused([](LeafProof&, Bytes& leaf) { leaf[5] ^= 1; }));
  EXPECT_TRUE(refused([](LeafProof&, Bytes& leaf) { leaf.pop_back(); }));
  EXPECT_TRUE(refused([](LeafProof&, Bytes& leaf) { leaf.push_back(0); }));
  EXPECT_TRUE(refused([](LeafProof& proof, Bytes&) { proof.index = 5; }));
  EXPECT_TRUE(refused([](LeafProof& proof, Bytes&) { proof.index = 11; }));
  EXPECT_TRUE(refused([](LeafProof& proof, Bytes&) { proof.path.pop_back(); }));
  EXPECT_TRUE(refused([](LeafProof& proof, Bytes&) { proof.path.emplace_back(); }));
  EXPECT_TRUE(refused([](LeafProof& proof, Bytes&) { std::swap(proof.path[0], proof.path[1]); }));
  EXPECT_TRUE(refused([](LeafProof& proof, Bytes&) { proof.file.root.bytes[0] ^= 1; }));
  EXPECT_TRUE(refused([](LeafProof& proof, Bytes&) { proof.file.bytes *= 4; }));
}

TEST(LeafProof, ANodeOfTheTreeIsNoLeaf) {
  // Two digests joined, which would hash to the root were leaves and nodes not marked.
  const Proven proven(2, 0);
  Bytes node(leaf_digest(proven.leaf).bytes.begin(), leaf_digest(proven.leaf).bytes.end());
  node.insert(node.end(), proven.proof.path[0].bytes.begin(), proven.proof.path[0].bytes.end());
  EXPECT_FALSE(is_leaf({{"model.bin", node.size(), proven.proof.file.root}, 0, {}}, node));
}

TEST(LeafProof, HasOneText) {
  const std::string text = print_leaf_proof(Proven(3, 1).proof);
  ASSERT_TRUE(parse_leaf_proof(text));
  EXPECT_FALSE(parse_leaf_proof(text + "\n"));
  EXPECT_FALSE(parse_leaf_proof(text.substr(0, text.size() - 1)));
  EXPECT_FALSE(parse_leaf_proof(text + text.substr(text.rfind("hash "))));
  EXPECT_FALSE(parse_leaf_proof(text.substr(0, text.rfind("hash "))));
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"leaf 1\n", "leaf 01\n"},
                                                        {"leaf 1\n", "leaf 3\n"},
                                                        {"leaf 1\n", "leaf -1\n"},
                                                        {"leaf 1\n", ""},
                                                        {"hash ", "hash  "},
                                                        {"-leaf 1", "-leaf 2"},
                                                        {"file ", "file  "}}) {
    std::string other = text;
    other.replace(other.find(from), from.size(), to);
    EXPECT_FALSE(parse_leaf_proof(other)) << from << " as " << to;
  }
  EXPECT_FALSE(parse_leaf_proof(""));
  EXPECT_FALSE(parse_leaf_proof(std::string(kLeafProofTextBytesMax + 1, 'x')));
}

TEST(FileRoot, IsTheSameHoweverTheFileComes) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kManifestLeafBytes - 1, kManifestLeafBytes,
        kManifestLeafBytes + 1, 3 * kManifestLeafBytes + 17}) {
    const Bytes file = pattern(size);
    std::vector<Bytes> leaves;
    for (std::size_t at = 0; at < size; at += kManifestLeafBytes) {
      const auto part = ByteSpan(file).subspan(at, std::min(kManifestLeafBytes, size - at));
      leaves.emplace_back(part.begin(), part.end());
    }
    const Digest wanted = tree_hash(leaves, 0, leaves.size());
    for (const std::size_t piece : {std::size_t{65'521}, kManifestLeafBytes, size + 1}) {
      FileRoot root;
      for (std::size_t at = 0; at < size; at += piece) {
        root.update(ByteSpan(file).subspan(at, std::min(piece, size - at)));
      }
      EXPECT_EQ(root.finish(), wanted) << size << " in " << piece;
    }
  }
}

ModelManifest two_files() {
  ModelManifest out;
  out.files = {{"a.json", 0, sha256(ByteSpan())}, {"w/b 1.bin", 12, leaf_digest(Bytes(12))}};
  return out;
}

TEST(Manifest, TextIsWhatTheSpecSays) {
  const std::string text = print_manifest(two_files());
  EXPECT_EQ(text,
            "nostril-manifest 2\n"
            "leaf 1048576\n"
            "file e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 a.json\n"
            "file " +
                encode_hex(sha256(Bytes(13))) + " 12 w/b 1.bin\n");
  EXPECT_EQ(parse_manifest(text), two_files());
  EXPECT_EQ(manifest_digest(text), tagged_hash("nostril/manifest/2", as_bytes(text)));
  EXPECT_EQ(parse_manifest(print_manifest({})), ModelManifest{});
}

TEST(Manifest, HasOneTextOnly) {
  const std::string text = print_manifest(two_files());
  const auto refused = [](std::string changed) { return !parse_manifest(changed); };
  for (std::size_t size = 0; size < text.size(); ++size) {
    const bool whole_lines = size > 30 && text[size - 1] == '\n';
    EXPECT_EQ(refused(text.substr(0, size)), !whole_lines) << size;
  }
  const auto replaced = [&text](const std::string& from, const std::string& to) {
    std::string out = text;
    return out.replace(out.find(from), from.size(), to);
  };
  EXPECT_TRUE(refused(replaced("e3b0", "E3B0")));
  EXPECT_TRUE(refused(replaced(" 12 ", " 012 ")));
  EXPECT_TRUE(refused(replaced(" 12 ", " +12 ")));
  EXPECT_TRUE(refused(replaced(" 12 ", " 18446744073709551616 ")));
  EXPECT_TRUE(refused(replaced(" 12 ", "  12 ")));
  EXPECT_TRUE(refused(replaced("a.json", "z.json"))) << "out of order";
  EXPECT_TRUE(refused(replaced("a.json", "w/b 1.bin"))) << "twice";
  EXPECT_TRUE(refused(replaced("\nfile", "\r\nfile")));
  EXPECT_TRUE(refused(replaced("manifest 2", "manifest 1")));
  EXPECT_TRUE(refused(replaced("1048576", "4096")));
  EXPECT_TRUE(refused(text + "\n"));
}

TEST(Manifest, NamesStayBelowTheFolder) {
  for (const char* name :
       {"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\tb", "a\nb", "\xc3\xa4"}) {
    EXPECT_FALSE(is_manifest_name(name)) << name;
  }
  for (const char* name : {"a", "...", "a/b", " a", ".git/x"}) EXPECT_TRUE(is_manifest_name(name));
  EXPECT_FALSE(is_manifest_name(std::string(256, 'a')));
  EXPECT_TRUE(is_manifest_name(std::string(255, 'a')));
}

// ---- In evidence --------------------------------------------------------------------------------

TEST(ManifestInEvidence, MustBeWhatTheStatementCommitsTo) {
  const Simulator sim = test::simulator();
  Statement stated = test::statement();
  stated.model_manifest = manifest_digest(print_manifest(two_files()));
  Evidence evidence = sim.evidence(stated, kNow, test::measurements());
  const auto judge = [&] {
    return verify(evidence, stated, test::roots_of(sim), kNow, test::simulated_policy());
  };
  EXPECT_EQ(test::status_of(judge(), "manifest"), CheckStatus::NotChecked);
  EXPECT_TRUE(judge().accepted);
  evidence.manifest = print_manifest(two_files());
  const Verdict verdict = judge();
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(test::status_of(verdict, "manifest"), CheckStatus::Passed);
  ASSERT_NE(verdict.claim("manifest.bytes"), nullptr);
  EXPECT_EQ(std::get<std::int64_t>(verdict.claim("manifest.bytes")->value), 12);
  evidence.manifest = print_manifest({});
  EXPECT_FALSE(judge().accepted) << "another manifest";
  evidence.manifest = "rubbish";
  EXPECT_FALSE(judge().accepted);
  stated.model_manifest = manifest_digest("rubbish");
  evidence = sim.evidence(stated, kNow, test::measurements());
  evidence.manifest = "rubbish";
  EXPECT_FALSE(judge().accepted) << "bound, but no manifest";
}

TEST(ManifestInEvidence, RoundTripsThroughThePack) {
  Evidence evidence = test::sound_evidence(test::simulator());
  evidence.manifest = print_manifest(two_files());
  EXPECT_EQ(unpack_evidence(pack_evidence(evidence)).value(), evidence);
  evidence.manifest = std::string(kManifestTextBytesMax + 1, 'x');
  EXPECT_FALSE(within_limits(evidence));
}

}  // namespace
}  // namespace nostril::attestation
