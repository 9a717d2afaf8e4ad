#include "vmm/cli/progress_bar.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace vmwire {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kGiB = uint64_t{1} << 30;

class ProgressBarTest : public testing::Test {
 protected:
  ProgressBar MakeBar(bool is_terminal = true, int width = 80) {
    ProgressSink sink;
    sink.is_terminal = is_terminal;
    sink.width = width;
    sink.write = [this](const std::string& text) { written_.push_back(text); };
    sink.now = [this] { return now_; };
    return ProgressBar("wiring", sink);
  }

  void Pass(milliseconds time) { now_ += time; }

  std::vector<std::string> written_;
  std::chrono::steady_clock::time_point now_;
};

TEST_F(ProgressBarTest, ShortWorkShowsNothing) {
  {
    ProgressBar bar = MakeBar();
    Pass(milliseconds(499));
    bar.Update(kGiB, kGiB);
  }
  EXPECT_TRUE(written_.empty());
}

TEST_F(ProgressBarTest, LongWorkShowsBytesSpeedAndTimeLeft) {
  ProgressBar bar = MakeBar();
  Pass(milliseconds(500));

  bar.Update(kGiB, 4 * kGiB);

  ASSERT_EQ(written_.size(), 1u);
  EXPECT_EQ(written_[0],
            "\r\x1b[Kwiring [#####               ] 1 GiB of 4 GiB, 2.00 GiB/s, 2 s left");
}

TEST_F(ProgressBarTest, LongTimesAreInMinutes) {
  ProgressBar bar = MakeBar();
  Pass(milliseconds(1000));

  bar.Update(kGiB, 126 * kGiB);

  ASSERT_EQ(written_.size(), 1u);
  EXPECT_NE(written_[0].find("2 min 5 s left"), std::string::npos) << written_[0];
}

TEST_F(ProgressBarTest, NothingDoneHasNoTimeLeft) {
  ProgressBar bar = MakeBar();
  Pass(milliseconds(1000));

  bar.Update(0, kGiB);

  ASSERT_EQ(written_.size(), 1u);
  EXPECT_EQ(written_[0].find("left"), std::string::npos) << written_[0];
}

TEST_F(ProgressBarTest, RedrawsAtMostTenTimesASecond) {
  ProgressBar bar = MakeBar();
  Pass(milliseconds(500));

  for (int i = 0; i < 1000; ++i) {
    bar.Update(kGiB, 4 * kGiB);
    Pass(milliseconds(1));
  }

  EXPECT_EQ(written_.size(), 10u);
}

TEST_F(ProgressBarTest, IsErasedOnceAtTheEnd) {
  {
    ProgressBar bar = MakeBar();
    Pass(milliseconds(500));
    bar.Update(kGiB, 4 * kGiB);
    bar.Finish();
  }
  ASSERT_EQ(written_.size(), 2u);
  EXPECT_EQ(written_[1], "\r\x1b[K");
}

TEST_F(ProgressBarTest, UpdateAfterFinishDrawsNothing) {
  ProgressBar bar = MakeBar();
  bar.Finish();
  Pass(milliseconds(5000));

  bar.Update(kGiB, 4 * kGiB);

  EXPECT_TRUE(written_.empty());
}

TEST_F(ProgressBarTest, OffATerminalNothingIsWritten) {
  {
    ProgressBar bar = MakeBar(/*is_terminal=*/false);
    Pass(milliseconds(5000));
    bar.Update(kGiB, 4 * kGiB);
  }
  EXPECT_TRUE(written_.empty());
}

TEST_F(ProgressBarTest, LineIsCutToTheTerminal) {
  ProgressBar bar = MakeBar(/*is_terminal=*/true, /*width=*/20);
  Pass(milliseconds(500));

  bar.Update(kGiB, 4 * kGiB);

  ASSERT_EQ(written_.size(), 1u);
  EXPECT_EQ(written_[0], "\r\x1b[Kwiring [#####      ");
}

TEST_F(ProgressBarTest, MoreDoneThanThereIsCountsAsAll) {
  ProgressBar bar = MakeBar();
  Pass(milliseconds(500));

  EXPECT_TRUE(bar.Update(2 * kGiB, kGiB));

  ASSERT_EQ(written_.size(), 1u);
  EXPECT_NE(written_[0].find("[####################] 1 GiB of 1 GiB"), std::string::npos);
}

TEST_F(ProgressBarTest, NothingToDoDrawsNothing) {
  ProgressBar bar = MakeBar();
  Pass(milliseconds(500));

  EXPECT_TRUE(bar.Update(0, 0));
  EXPECT_TRUE(written_.empty());
}

}  // namespace
}  // namespace vmwire
