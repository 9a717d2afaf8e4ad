#include "vmm/cli/suggest.h"

#include <gtest/gtest.h>

namespace vmwire {
namespace {

const std::vector<std::string> kKeys = {"size", "backing", "hugepages"};

TEST(NearestWord, OneReplacedLetterIsNear) { EXPECT_EQ(NearestWord("sise", kKeys), "size"); }

TEST(NearestWord, SwappedNeighboursAreNear) { EXPECT_EQ(NearestWord("szie", kKeys), "size"); }

TEST(NearestWord, MissingAndSurplusLettersAreNear) {
  EXPECT_EQ(NearestWord("hugpage", kKeys), "hugepages");
  EXPECT_EQ(NearestWord("bbacking", kKeys), "backing");
}

TEST(NearestWord, CaseDoesNotCount) { EXPECT_EQ(NearestWord("SIZE", kKeys), "size"); }

TEST(NearestWord, FarWordHasNone) { EXPECT_EQ(NearestWord("policy", kKeys), std::nullopt); }

TEST(NearestWord, EmptyWordHasNone) { EXPECT_EQ(NearestWord("", kKeys), std::nullopt); }

TEST(NearestWord, ShortWordIsNotSuggestedForAnyOther) {
  EXPECT_EQ(NearestWord("x", {"a"}), std::nullopt);
}

TEST(NearestWord, NearestOfSeveralIsTaken) {
  EXPECT_EQ(NearestWord("nonr", {"dma", "nonce", "none"}), "none");
}

TEST(NearestWord, VeryLongWordIsNoWork) {
  EXPECT_EQ(NearestWord(std::string(size_t{1} << 24, 's'), kKeys), std::nullopt);
}

TEST(UnknownWordMessage, NamesTheNearestWord) {
  EXPECT_EQ(UnknownWordMessage("key", "sise", kKeys), "unknown key 'sise'; did you mean 'size'?");
}

TEST(UnknownWordMessage, ListsTheKnownWordsWhenNoneIsNear) {
  EXPECT_EQ(UnknownWordMessage("key", "foo", kKeys),
            "unknown key 'foo'; known: size, backing, hugepages");
}

TEST(UnknownWordMessage, EscapesWhatIsNotPrintable) {
  EXPECT_EQ(UnknownWordMessage("key", "\x1b[2J", {"size"}), "unknown key '\\x1b[2J'; known: size");
}

}  // namespace
}  // namespace vmwire
