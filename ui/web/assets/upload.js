// Files on their way to this server's own route: chosen, dropped, or a dropped folder of a series.

/** All files of what was dropped, those in folders too. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(entry => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (let entry; (entry = entries.pop());) {
    if (entry.isFile) files.push(await new Promise((found, failed) => entry.file(found, failed)));
    else {
      const reader = entry.createReader();
      for (let some = [null]; some.length;) {
        some = await new Promise((found, failed) => reader.readEntries(found, failed));
        entries.push(...some);
      }
    }
  }
  return files;
}

/** Send files one after another; null, or a line that says what is wrong with them. */
async function sendFiles(handle, kind, files, progress) {
  if (!handle) return 'upload: the page is still opening; try again in a moment';
  for (const [number, file] of files.entries()) {
    progress(number + 1, files.length);
    const more = number + 1 < files.length ? '&more=1' : '';
    try {
      const address = `/s/${handle}/upload?kind=${kind}&name=${encodeURIComponent(file.name)}${more}`;
      const answer = await fetch(address, {method: 'POST', body: file, headers: {'Content-Type': 'application/octet-stream'}});
      if (!answer.ok) return (await answer.json().catch(() => ({}))).error || `upload: the server answered ${answer.status}`;
    } catch {
      return 'upload: the connection was lost; try again';
    }
  }
  return null;
}
