#include "common/auth/secret_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "common/base/fault_point.h"

namespace tarn::auth {
namespace {

using ::testing::HasSubstr;

class SecretFile : public testing::Test {
 protected:
  void SetUp() override {
    const bool has_memory = ::access("/dev/shm", W_OK) == 0;
    std::string pattern = (has_memory ? "/dev/shm/" : testing::TempDir()) + "tarn-file-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  void TearDown() override {
    fault::disarm_all();
    std::filesystem::remove_all(folder);
  }

  std::string path(const std::string& name) const { return folder + "/" + name; }
  Status write(const std::string& name, const std::string& contents) {
    return write_secret_file(folder, name, contents);
  }
  Result<std::string> read(const std::string& name, Privacy privacy = Privacy::owner) {
    return read_secret_file(path(name), privacy);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      all.push_back(entry.path().filename().string());
    return all;
  }

  std::string folder;
};

TEST_F(SecretFile, of_every_size_up_to_the_limit_comes_back) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, kSecretFileBytesMax}) {
    const std::string contents(size, '\x80');
    ASSERT_TRUE(write("key", contents).is_ok());
    EXPECT_EQ(read("key").value(), contents);
  }
  ASSERT_TRUE(write("key", std::string(kSecretFileBytesMax + 1, 'x')).is_ok());
  EXPECT_EQ(read("key").error(), corrupt(path("key") + " is no file of a key or certificate"));
}

TEST_F(SecretFile, is_private_whatever_the_umask_and_the_file_before_it) {
  const mode_t before = ::umask(0);
  std::ofstream(path("key")) << "older, and open to all";
  ASSERT_EQ(::chmod(path("key").c_str(), 0666), 0);
  EXPECT_TRUE(write("key", "new").is_ok());
  ::umask(before);
  struct stat found {};
  ASSERT_EQ(::stat(path("key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_EQ(read("key").value(), "new");
}

TEST_F(SecretFile, that_others_may_touch_is_refused_bit_by_bit) {
  ASSERT_TRUE(write("key", "secret").is_ok());
  for (mode_t bit = 1; bit <= 0100; bit <<= 1) {
    ASSERT_EQ(::chmod(path("key").c_str(), 0600 | bit), 0);
    const bool is_owners = bit == 0100;
    EXPECT_EQ(read("key").has_value(), is_owners) << std::oct << bit;
    EXPECT_TRUE(read("key", Privacy::anyone).has_value()) << "a certificate is public";
    if (is_owners) continue;
    EXPECT_EQ(read("key").error(),
              permission_denied(path("key") + " is open to others than its owner; run: chmod 600 " +
                                path("key")));
  }
}

TEST_F(SecretFile, is_never_waited_for) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(read("pipe").error().code(), Code::corrupt) << "nobody writes into the pipe";
  EXPECT_EQ(read_secret_file("/dev/zero", Privacy::anyone).error().code(), Code::corrupt);
  EXPECT_EQ(read_secret_file(folder, Privacy::anyone).error().code(), Code::corrupt);
}

TEST_F(SecretFile, behind_a_link_is_read_and_judged_by_its_own_mode) {
  ASSERT_TRUE(write("key", "secret").is_ok());
  std::filesystem::create_symlink("key", path("link"));
  EXPECT_EQ(read("link").value(), "secret") << "Kubernetes mounts secrets as links";
  ASSERT_EQ(::chmod(path("key").c_str(), 0644), 0);
  EXPECT_EQ(read("link").error().code(), Code::permission_denied);
}

// Someone who may not read the folder must not be able to lead a key out of it.
TEST_F(SecretFile, is_not_written_through_a_link_that_lies_in_wait) {
  const std::string outside = folder + ".outside";
  std::ofstream(outside) << "untouched";
  std::filesystem::create_symlink(outside, path(".key.new"));
  std::filesystem::create_symlink(outside, path("key"));
  ASSERT_TRUE(write("key", "secret").is_ok());
  std::ifstream in(outside);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "untouched");
  ASSERT_FALSE(std::filesystem::is_symlink(path("key")));
  EXPECT_EQ(read("key").value(), "secret");
  std::filesystem::remove(outside);
}

TEST_F(SecretFile, is_the_old_one_after_a_failure_and_nothing_else_is_left) {
  ASSERT_TRUE(write("key", "old").is_ok());
  fault::arm("auth.secrets_write", {});
  EXPECT_EQ(write("key", "new").code(), Code::unavailable);
  EXPECT_EQ(read("key").value(), "old");
  EXPECT_THAT(names(), testing::ElementsAre("key"));
  fault::arm("auth.secrets_rename", {});
  EXPECT_EQ(write("key", "new").code(), Code::unavailable);
  EXPECT_EQ(read("key").value(), "old") << "as after a crash before the rename";
  fault::disarm_all();
  EXPECT_TRUE(write("key", "newer").is_ok());
  EXPECT_EQ(read("key").value(), "newer");
  EXPECT_THAT(names(), testing::ElementsAre("key"));
}

TEST_F(SecretFile, that_cannot_be_had_says_why) {
  EXPECT_EQ(read("none").error(),
            not_found("cannot open " + path("none") + ": No such file or directory"));
  const Status nowhere = write_secret_file(folder + "/none", "key", "x");
  EXPECT_EQ(nowhere,
            not_found("cannot create " + folder + "/none/.key.new: No such file or directory"));
  std::filesystem::create_directory(path("taken"));
  EXPECT_THAT(write("taken", "x").message(), HasSubstr("cannot rename " + path(".taken.new")));
}

// A reader sees the old bytes or the new ones, never a mixture or nothing.
TEST_F(SecretFile, is_replaced_at_once_for_those_who_read) {
  const std::string a(3000, 'a'), b(3000, 'b');
  ASSERT_TRUE(write("key", a).is_ok());
  std::atomic<bool> done = false;
  std::barrier start(2);
  std::thread writer([&] {
    start.arrive_and_wait();
    for (int i = 0; i < 100; ++i)
      ASSERT_TRUE(write("key", i % 2 == 0 ? b : a).is_ok());
    done = true;
  });
  start.arrive_and_wait();
  while (!done) {
    const auto seen = read("key");
    ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
    ASSERT_TRUE(*seen == a || *seen == b);
  }
  writer.join();
}

TEST_F(SecretFile, folders_are_refused_when_others_may_write_in_them) {
  for (const mode_t mode : {0700u, 0500u, 0755u, 0711u}) {
    ASSERT_EQ(::chmod(folder.c_str(), mode), 0);
    EXPECT_TRUE(check_secret_folder(folder).is_ok()) << std::oct << mode;
  }
  for (const mode_t mode : {0720u, 0702u, 0777u, 01777u}) {
    ASSERT_EQ(::chmod(folder.c_str(), mode), 0);
    EXPECT_EQ(check_secret_folder(folder),
              permission_denied("others may write in " + folder + "; run: chmod 700 " + folder));
    EXPECT_FALSE(make_secret_folder(folder).is_ok()) << "nor taken over as it is";
  }
  ASSERT_EQ(::chmod(folder.c_str(), 0700), 0);
  EXPECT_EQ(check_secret_folder(folder + "/none").code(), Code::not_found);
}

TEST_F(SecretFile, folders_are_made_with_those_above_them_and_private) {
  const mode_t before = ::umask(0);
  EXPECT_TRUE(make_secret_folder(folder + "/a/b/c").is_ok());
  EXPECT_TRUE(make_secret_folder(folder + "/a/b/c").is_ok()) << "it is there, which is fine";
  ::umask(before);
  struct stat found {};
  ASSERT_EQ(::stat((folder + "/a/b/c").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
}

TEST_F(SecretFile, locks_move_and_end_with_their_holder) {
  {
    FolderLock lock = FolderLock::open(folder).value();
    const FolderLock moved = std::move(lock);
    EXPECT_EQ(FolderLock::open(folder).status(),
              unavailable("another process is writing in " + folder + "; try again in a moment"));
  }
  EXPECT_TRUE(FolderLock::open(folder).has_value());
  EXPECT_EQ(FolderLock::open(folder + "/none").status().code(), Code::not_found);
}

// SIGKILL of a `tarn certs` must not leave a lock that a person has to remove.
TEST_F(SecretFile, locks_of_a_process_that_was_killed_are_free) {
  int holds[2];
  ASSERT_EQ(::pipe(holds), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = FolderLock::open(folder);
    const char answer = lock.has_value() ? 'y' : 'n';
    (void)!::write(holds[1], &answer, 1);
    ::pause();
    ::_exit(0);
  }
  char answer = 'n';
  ASSERT_EQ(::read(holds[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FALSE(FolderLock::open(folder).has_value());
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(FolderLock::open(folder).has_value());
  ::close(holds[0]);
  ::close(holds[1]);
}

}  // namespace
}  // namespace tarn::auth
