#include "base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace nostril {

namespace {

using testing::HasSubstr;

struct Settings {
  std::string name = "relay";
  std::string path = "/var/lib";
  bool open = true;
  std::int64_t bytes_max = 4096;
  std::vector<std::string> peers = {"a", "b"};
};

void declare(Config& config, Settings& settings) {
  config.text("name", &settings.name, "Shown to users.");
  config.section("limits", "Bounds.\nOf what one peer may cost.");
  config.number("bytes_max", &settings.bytes_max, 1, 1 << 20, "bytes");
  config.flag("open", &settings.open, "");
  config.section("store", "");
  config.text("path", &settings.path, "A folder.");
  config.list("peers", &settings.peers, "Others.");
}

/// What load_text() throws for this text, or "" when it does not.
std::string error_of(std::string_view text) {
  Settings settings;
  Config config;
  declare(config, settings);
  try {
    config.load_text(text, "x.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Config, ReadsDeclaredFieldsAndLeavesDefaults) {
  Settings settings;
  Config config;
  declare(config, settings);
  config.load_text(
      "name = \"mine\"\n[limits]\nbytes_max = 1\n[store]\npeers = [\"c\", \"d\", \"e\"]\n", "x");
  EXPECT_EQ(settings.name, "mine");
  EXPECT_EQ(settings.bytes_max, 1);
  EXPECT_TRUE(settings.open);
  EXPECT_EQ(settings.path, "/var/lib");
  EXPECT_EQ(settings.peers, (std::vector<std::string>{"c", "d", "e"}));
}

TEST(Config, RefusesKeysThatNobodyDeclared) {
  EXPECT_THAT(error_of("nam = \"x\""), HasSubstr("x.toml:1: nobody reads nam; nearest: name;"));
  EXPECT_THAT(error_of("[limits]\n\nbytes_mx = 1"),
              HasSubstr("x.toml:3: nobody reads limits.bytes_mx; nearest: limits.bytes_max;"));
  EXPECT_THAT(error_of("[limit]\nbytes_max = 1"),
              HasSubstr("nobody reads [limit]; nearest: limits;"));
  EXPECT_THAT(error_of("bytes_max = 1"), HasSubstr("nobody reads bytes_max; ")) << "other section";
  EXPECT_THAT(error_of("[limits.more]\na = 1"), HasSubstr("nobody reads limits.more"));
  EXPECT_THAT(error_of("[[limits]]\nbytes_max = 1"), HasSubstr("nobody reads limits"));
  EXPECT_THAT(error_of("[empty]"), HasSubstr("nobody reads [empty]"));
}

TEST(Config, SaysWhereTheFileSetsWhatIsWrong) {
  Settings settings;
  Config config;
  declare(config, settings);
  config.load_text("name = \"mine\"\n[store]\n\npath = \"x\"\n", "x.toml");
  EXPECT_EQ(config.placed("store.path: no such folder"), "x.toml:4: store.path: no such folder");
  EXPECT_EQ(config.placed("name is taken"), "x.toml:1: name is taken");
  EXPECT_EQ(config.placed("limits.open: not now"), "limits.open: not now") << "a default";
  EXPECT_EQ(config.placed("the disk is full"), "the disk is full");
  EXPECT_EQ(config.placed(""), "");
}

struct Peer {
  std::string name;
  std::int64_t port = 80;
};

void declare_peer(Config& config, Peer& peer) {
  config.text("name", &peer.name, "Who.");
  config.number("port", &peer.port, 1, 65535, "");
}

TEST(Config, ReadsArraysOfTablesEachWithItsDefaults) {
  std::vector<Peer> peers;
  const auto load = [&peers](std::string_view text) {
    Config config;
    std::string title;
    config.text("title", &title, "");
    config.tables("peer", &peers, 2, declare_peer, "Others.");
    EXPECT_THAT(config.print(), HasSubstr("# Others.\n# [[peer]]\n# name = \"\"\n#   Who.\n"));
    try {
      config.load_text(text, "x.toml");
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(load("title = \"t\"\n[[peer]]\nname = \"a\"\n[[peer]]\nport = 7\n"), "");
  ASSERT_EQ(peers.size(), 2U);
  EXPECT_EQ(peers[0].name, "a");
  EXPECT_EQ(peers[0].port, 80);
  EXPECT_EQ(peers[1].port, 7);
  EXPECT_THAT(load("[[peer]]\n"), HasSubstr("x.toml:1: more than 2 of [[peer]]"));
  peers.clear();
  EXPECT_THAT(load("[[peer]]\nname = \"a\"\nprt = 1\n"),
              HasSubstr("x.toml:3: nobody reads prt; nearest: port;"));
  EXPECT_THAT(load("[peer]\nname = \"a\"\n"), HasSubstr("nobody reads [peer]"));
  EXPECT_THAT(load("peer = 1\n"), HasSubstr("write [[peer]]"));
  EXPECT_THAT(load("peer = [1]\n"), HasSubstr("write [[peer]]"));
  EXPECT_THAT(load("[[peers]]\n"), HasSubstr("nobody reads peers; nearest: peer;"));
}

TEST(Config, SaysWhereAnArrayOfTablesSetsWhatIsWrong) {
  std::vector<Peer> peers;
  Config config;
  config.tables("peer", &peers, 3, declare_peer, "Others.");
  config.load_text("[[peer]]\nname = \"a\"\n\n[[peer]]\n\nport = 7\n", "x.toml");
  config.load_text("[[peer]]\nname = \"c\"\n", "y.toml");
  const auto placed = [&](std::size_t index, std::string_view key) {
    return config.placed(Config::table_key("peer", index, key) + ": no");
  };
  EXPECT_EQ(placed(0, "name"), "x.toml:2: peer[0].name: no");
  EXPECT_EQ(placed(1, "port"), "x.toml:6: peer[1].port: no");
  EXPECT_EQ(placed(1, "name"), "x.toml:4: peer[1].name: no") << "not set: where its table is";
  EXPECT_EQ(placed(1, ""), "x.toml:4: peer[1]: no");
  EXPECT_EQ(placed(2, "name"), "y.toml:2: peer[2].name: no");
  EXPECT_EQ(placed(3, "name"), "peer[3].name: no");
  EXPECT_EQ(config.placed("other[0].name: no"), "other[0].name: no");
}

TEST(Config, RefusesOtherTypes) {
  EXPECT_THAT(error_of("name = 1"), HasSubstr("x.toml:1: name must be a text in quotes"));
  EXPECT_THAT(error_of("[name]"), HasSubstr("name"));
  EXPECT_THAT(error_of("[limits]\nopen = 1"), HasSubstr("open must be true or false"));
  EXPECT_THAT(error_of("[limits]\nopen = \"true\""), HasSubstr("open must be true or false"));
  EXPECT_THAT(error_of("[limits]\nbytes_max = 1.0"), HasSubstr("bytes_max must be a whole number"));
  EXPECT_THAT(error_of("[limits]\nbytes_max = \"1\""), HasSubstr("must be a whole number"));
  EXPECT_THAT(error_of("[limits]\nbytes_max = true"), HasSubstr("must be a whole number"));
  EXPECT_THAT(error_of("[store]\npeers = \"a\""), HasSubstr("peers must be a list of texts"));
  EXPECT_THAT(error_of("[store]\npeers = [\"a\", 1]"), HasSubstr("peers must be a list of texts"));
}

TEST(Config, RefusesNumbersOutOfRange) {
  EXPECT_EQ(error_of("[limits]\nbytes_max = 1048576"), "");
  EXPECT_THAT(error_of("[limits]\nbytes_max = 1048577"), HasSubstr("from 1 to 1048576"));
  EXPECT_THAT(error_of("[limits]\nbytes_max = 0"), HasSubstr("from 1 to 1048576"));
  EXPECT_THAT(error_of("[limits]\nbytes_max = 99999999999999999999"), HasSubstr("x.toml:2"));
}

TEST(Config, SaysWhereTheFileIsNoToml) {
  EXPECT_THAT(error_of("name = \n"), HasSubstr("x.toml:1"));
  EXPECT_THAT(error_of("[limits]\nopen = true\nopen = true"), HasSubstr("x.toml:3"));
}

TEST(Config, SaysWhichFileCantBeRead) {
  Settings settings;
  Config config;
  declare(config, settings);
  EXPECT_THROW(config.load("/nonexistent/relay.toml"), ConfigError);
  EXPECT_THROW(config.load(testing::TempDir()), ConfigError) << "a folder is no file";
}

TEST(Config, ReadsFiles) {
  const std::string path =
      testing::TempDir() + "/nostril_config_test_" + std::to_string(getpid()) + ".toml";
  std::ofstream(path) << "name = \"from file\"\n";
  Settings settings;
  Config config;
  declare(config, settings);
  config.load(path);
  EXPECT_EQ(settings.name, "from file");
  std::ofstream(path, std::ios::trunc).close();
  config.load(path);
  EXPECT_EQ(settings.name, "from file") << "an empty file changes nothing";
  std::remove(path.c_str());
}

TEST(Config, PrintsWhatItReadsBack) {
  Settings settings;
  settings.name = "quote \" backslash \\ tab \t line\nbell \a del \x7f \xc3\xa9";
  settings.bytes_max = 77;
  settings.open = false;
  settings.peers = {};
  Config config;
  declare(config, settings);
  const std::string text = config.print();
  EXPECT_THAT(text, HasSubstr("# Bounds.\n# Of what one peer may cost.\n[limits]\n"));
  EXPECT_THAT(text, HasSubstr("# bytes\nbytes_max = 77\n"));

  Settings back;
  Config reader;
  declare(reader, back);
  reader.load_text(text, "printed");
  EXPECT_EQ(back.name, settings.name);
  EXPECT_EQ(back.bytes_max, 77);
  EXPECT_FALSE(back.open);
  EXPECT_TRUE(back.peers.empty());
  EXPECT_EQ(back.path, settings.path);
  EXPECT_EQ(reader.print(), text);
}

}  // namespace

}  // namespace nostril
