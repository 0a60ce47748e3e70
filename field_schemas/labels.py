"""Words users see, in Chinese and English."""

import msgspec


class Label(msgspec.Struct, frozen=True):
    """One name in both languages."""

    zh: str
    en: str

    def text(self, language: str) -> str:
        """The name in `language` ("zh", "zh-CN", "en", ...); anything but Chinese reads English."""
        return self.zh if language.lower().startswith("zh") else self.en
