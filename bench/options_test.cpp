#include "bench/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/test_support.h"

namespace lcnn::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Options parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "/some/where/lcnn_bench");
  return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

TEST(Options, WithoutAnyADefaultRunIsMeasured) {
  const Options options = parse({});
  EXPECT_THAT(options.workloads, ElementsAre("default"));
  EXPECT_THAT(options.dictionaries, IsEmpty());
  EXPECT_THAT(options.batches, IsEmpty());
  EXPECT_THAT(options.precisions, IsEmpty());
  EXPECT_THAT(options.layouts, ElementsAre(Layout::nchw, Layout::nhwc));
  EXPECT_EQ(options.device, std::nullopt);
  EXPECT_EQ(options.threads, 0);
  EXPECT_FALSE(options.full);
  EXPECT_EQ(options.mode, TimingMode::rotated);
  EXPECT_EQ(options.seed, 1u);
  EXPECT_EQ(options.report, "");
  EXPECT_FALSE(options.resume);
  EXPECT_FALSE(options.profile);
  EXPECT_EQ(options.filter, ".");
  EXPECT_FALSE(options.list_tests);
  EXPECT_GE(options.repetitions, 9) << "Google Benchmark's U test wants as many";
  EXPECT_EQ(options.min_seconds, std::nullopt);
  EXPECT_EQ(options.format, "console");
  EXPECT_EQ(options.out, "");
  EXPECT_EQ(options.out_format, "json");
}

TEST(Options, EveryOneIsRead) {
  const Options options =
      parse({"--workload=alexnet", "--dictionary=accurate", "--batch=32", "--precision=bf16", "--layout=nhwc",
             "--device=cuda", "--threads=3", "--full", "--timing=cold", "--seed=18446744073709551615",
             "--report=out/report.json", "--resume"});
  EXPECT_THAT(options.workloads, ElementsAre("alexnet"));
  EXPECT_THAT(options.dictionaries, ElementsAre("accurate"));
  EXPECT_THAT(options.batches, ElementsAre(32));
  EXPECT_THAT(options.precisions, ElementsAre(Precision::bf16));
  EXPECT_THAT(options.layouts, ElementsAre(Layout::nhwc));
  EXPECT_EQ(options.device, Device::cuda);
  EXPECT_EQ(options.threads, 3);
  EXPECT_TRUE(options.full);
  EXPECT_EQ(options.mode, TimingMode::cold);
  EXPECT_EQ(options.seed, 18446744073709551615u);
  EXPECT_EQ(options.report, "out/report.json");
  EXPECT_TRUE(options.resume);
}

TEST(Options, TheProfilersAreRead) {
  const Options options =
      parse({"--profile=out/seed", "--profile-sort=self_cuda", "--profile-rows=7", "--profile-gzip", "--profile-counters"});
  ASSERT_TRUE(options.profile);
  EXPECT_EQ(options.profile->table, "out/seed.table.json");
  EXPECT_EQ(options.profile->trace, "out/seed.trace.json.gz");
  EXPECT_EQ(options.profile->sort, "self_cuda");
  EXPECT_EQ(options.profile->rows, 7u);
  EXPECT_TRUE(options.profile->gzip);
  EXPECT_TRUE(options.profile->counters);
}

TEST(Options, ProfiledRowsAreNotAskedForWhereTheyWouldBeCompared) {
  EXPECT_THAT(refusal([] { parse({"--profile=a", "--resume", "--report=r.json"}); }),
              AllOf(HasSubstr("--profile"), HasSubstr("--resume")));
  EXPECT_THAT(refusal([] { parse({"--profile=a", "--benchmark_out=b.json"}); }), HasSubstr("--benchmark_out"));
  EXPECT_THAT(refusal([] { parse({"--profile=a", "--benchmark_format=json"}); }), HasSubstr("--benchmark_format"));
  EXPECT_THAT(refusal([] { parse({"--profile-gzip"}); }), HasSubstr("--profile=NAME"));
  EXPECT_THAT(refusal([] { parse({"--profile-sort=calls"}); }), HasSubstr("--profile=NAME"));
}

TEST(Options, EveryNamedValueIsRead) {
  EXPECT_THAT(parse({"--precision=fp32,tf32,fp16,bf16"}).precisions,
              ElementsAre(Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16));
  EXPECT_THAT(parse({"--layout=nhwc,nchw"}).layouts, ElementsAre(Layout::nhwc, Layout::nchw));
  EXPECT_EQ(parse({"--device=cpu"}).device, Device::cpu);
  for (const TimingMode mode : {TimingMode::rotated, TimingMode::hot, TimingMode::cold}) {
    EXPECT_EQ(parse({("--timing=" + std::string(to_string(mode))).c_str()}).mode, mode);
  }
}

TEST(Options, ListsAreGivenByCommaOrByRepetition) {
  EXPECT_THAT(parse({"--workload=seed,a.json", "--workload", "race"}).workloads,
              ElementsAre("seed", "a.json", "race"));
  EXPECT_THAT(parse({"--batch=1,32", "--batch", "256"}).batches, ElementsAre(1, 32, 256));
  EXPECT_THAT(parse({"--dictionary=fast,16:1.5"}).dictionaries, ElementsAre("fast", "16:1.5"));
}

TEST(Options, HelpNamesEveryOptionAndTheExitCodes) {
  for (const char* flag : {"--help", "-h"}) {
    try {
      parse({flag});
      ADD_FAILURE() << flag << " was not answered";
    } catch (const HelpRequested& help) {
      for (const char* part :
           {"--workload", "--dictionary", "--batch", "--precision", "--layout", "--device", "--threads",
            "--full", "--timing", "--seed", "--report", "--resume", "--profile", "--profile-sort", "--profile-rows",
            "--profile-gzip", "--profile-counters", "--benchmark_filter", "Exit codes"}) {
        EXPECT_THAT(help.text, HasSubstr(part));
      }
    }
  }
}

TEST(Options, UnknownOnesAreRefusedByName) {
  for (const char* argument : {"--workloads=seed", "--filter=Lookup", "-x", "stray"}) {
    EXPECT_THAT(refusal([&] { parse({argument}); }), AllOf(HasSubstr(argument), HasSubstr("--help")))
        << argument;
  }
}

TEST(Options, BadValuesAreRefusedWithWhatIsAccepted) {
  struct Bad {
    const char* argument;
    const char* accepted;
  };
  for (const Bad& bad : {Bad{"--precision=fp64", "bf16, fp16, fp32, tf32"},
                         {"--precision=fp32,int8", "bf16, fp16, fp32, tf32"},
                         {"--layout=chw", "nchw, nhwc"},
                         {"--device=gpu", "cpu, cuda"},
                         {"--timing=warm", "cold, hot, rotated"},
                         {"--batch=0", "a whole number from 1"},
                         {"--batch=-1", "a whole number from 1"},
                         {"--batch=1.5", "a whole number from 1"},
                         {"--batch=99999999999999999999", "a whole number from 1"},
                         {"--threads=many", "a whole number from 1"},
                         {"--threads=0", "a whole number from 1"},
                         {"--profile-rows=0", "a whole number from 1"},
                         {"--profile-sort=gpu", "cuda_total"},
                         {"--seed=-1", "a whole number from 0"},
                         {"--seed=1x", "a whole number from 0"},
                         {"--benchmark_format=xml", "console, json or csv"},
                         {"--benchmark_out_format=xml", "console, json or csv"},
                         {"--benchmark_min_time=soon", "a number"},
                         {"--benchmark_min_time=", "a number"},
                         {"--benchmark_min_time=-1", "a number"},
                         {"--benchmark_min_time=nan", "a number"},
                         {"--benchmark_repetitions", "a number"},
                         {"--benchmark_repetitions=x", "a number"}}) {
    const std::string argument = bad.argument;
    const std::string option = argument.substr(0, argument.find('='));
    const char* const profile = option.starts_with("--profile") ? "--profile=a" : "--full";
    EXPECT_THAT(refusal([&] { parse({profile, bad.argument}); }), AllOf(HasSubstr(option), HasSubstr(bad.accepted)))
        << argument;
  }
}

TEST(Options, AValueThatIsMissingOrGivenTwiceIsRefused) {
  EXPECT_THAT(refusal([] { parse({"--report"}); }), HasSubstr("--report"));
  EXPECT_THAT(refusal([] { parse({"--device=cpu", "--device=cuda"}); }), HasSubstr("--device"));
}

TEST(Options, ResumeNeedsAReport) {
  EXPECT_THAT(refusal([] { parse({"--resume"}); }), AllOf(HasSubstr("--resume"), HasSubstr("--report")));
}

TEST(Options, GoogleBenchmarksFlagsAreReadAndHandedOn) {
  const std::vector<const char*> flags{"--benchmark_filter=Lookup/.*/fp16", "--benchmark_list_tests",
                                       "--benchmark_repetitions=12", "--benchmark_min_time=0.25",
                                       "--benchmark_format=json", "--benchmark_out=times.csv",
                                       "--benchmark_out_format=csv", "--benchmark_color=no"};
  const Options options = parse(flags);
  EXPECT_EQ(options.filter, "Lookup/.*/fp16");
  EXPECT_TRUE(options.list_tests);
  EXPECT_EQ(options.repetitions, 12);
  EXPECT_EQ(options.min_seconds, 0.25);
  EXPECT_EQ(options.format, "json");
  EXPECT_EQ(options.out, "times.csv");
  EXPECT_EQ(options.out_format, "csv");
  EXPECT_EQ(options.benchmark_arguments, std::vector<std::string>(flags.begin(), flags.end()));
}

TEST(Options, GoogleBenchmarksFlagsAreReadAsItsVersionsReadThem) {
  EXPECT_EQ(parse({"--benchmark_min_time=0.5s"}).min_seconds, 0.5);  // 1.8
  EXPECT_EQ(parse({"--benchmark_min_time=0.5"}).min_seconds, 0.5);   // 1.7
  EXPECT_EQ(parse({"--benchmark_filter=all"}).filter, ".");
  EXPECT_EQ(parse({"--benchmark_filter="}).filter, ".");
  EXPECT_EQ(parse({"--benchmark_filter=a", "--benchmark_filter=b"}).filter, "b");
  EXPECT_TRUE(parse({"--benchmark_list_tests=1"}).list_tests);
  EXPECT_TRUE(parse({"--benchmark_list_tests=Yes"}).list_tests);
  for (const char* no :
       {"--benchmark_list_tests=false", "--benchmark_list_tests=0", "--benchmark_list_tests=Off"}) {
    EXPECT_FALSE(parse({no}).list_tests) << no;
  }
}

TEST(Options, TheCommandLineNamesFilesWithoutTheirFoldersAndKeepsTheFilter) {
  EXPECT_EQ(
      parse({"--workload=/home/me/a.json,sub/b.json,seed", "--report", "/tmp/r.json", "--full"}).command_line,
      "lcnn_bench --workload=a.json,b.json,seed --report r.json --full");
  EXPECT_EQ(parse({"--benchmark_filter=Lookup/naive_sparse/.*/fp16"}).command_line,
            "lcnn_bench --benchmark_filter=Lookup/naive_sparse/.*/fp16");
}

}  // namespace
}  // namespace lcnn::bench
