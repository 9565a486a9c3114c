// <media-upload to="..."> with a file field: sends each file as it is, tells what was refused, and shows the list anew
// or the page that the answer names.
class MediaUpload extends HTMLElement {
  connectedCallback() {
    this.field = this.querySelector('input[type="file"]');
    this.field.addEventListener("change", () => this.send([...this.field.files]));
  }

  async send(files) {
    const told = document.getElementById("upload-told");
    const problems = [];
    const batch = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.batch = batch.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    for (const [index, file] of files.entries()) {
      this.tell(told, `正在上传 ${index + 1}/${files.length}：${file.name}`);
      const problem = await this.put(file, index === files.length - 1);
      if (problem) problems.push(problem);
    }
    this.field.value = "";
    if (problems.length) this.tell(told, problems.join(" "), "bad");
    else if (this.next) location.assign(this.next);
    else location.reload();
  }

  async put(file, isLast) {
    const most = Number(this.getAttribute("most-mb"));
    if (most && file.size > most * 1024 * 1024) return `“${file.name}”超过 ${most} MB，企业微信不支持，请压缩后再上传。`;
    const { "X-CSRF": csrf } = JSON.parse(document.body.getAttribute("hx-headers"));
    const headers = { "X-CSRF": csrf, "HX-Request": "true", "Content-Type": "application/octet-stream" };
    try {
      const to = new URL(this.getAttribute("to") || "/console/media", location.href);
      to.searchParams.set("name", file.name);
      to.searchParams.set("batch", this.batch);
      if (isLast) to.searchParams.set("last", "1");
      const answer = await fetch(to, { method: "PUT", headers, body: file });
      if (answer.ok) {
        this.next = (await answer.json()).url;
        return "";
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      return (page.querySelector(".notice-text") || page.body).textContent.trim() || `“${file.name}”没有上传成功，请重试。`;
    } catch {
      return `“${file.name}”没有上传成功，请检查网络后重试。`;
    }
  }

  tell(told, text, tone = "") {
    told.hidden = false;
    told.dataset.tone = tone;
    told.textContent = text;
  }
}

customElements.define("media-upload", MediaUpload);
